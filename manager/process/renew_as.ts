/** A certificate for the role that the cluster has just given this node. */
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { NodeRole } from "../../api/node.ts";
import {
  assembleIdentity,
  createCertificateRequest,
  type IdentityStore,
  type NodeIdentity,
  type RemoteCA,
} from "../../security/mod.ts";

/**
 * Pauses before the cluster is asked again: the role follows the removal from the quorum in milliseconds, but the CA allows
 * a node 10 requests at once, then one in 5 s.
 */
const RETRY_PAUSE: BackoffLimits = { minMs: 500, maxMs: 5_000 };
/** Attempts before the node is said to be in trouble: about a minute of them. */
const MAX_ATTEMPTS = 15;

/** Asks until the answer says `role`; resolves with the identity, which is on disk. Rejects when the node is not wanted. */
export async function renewAs(
  role: NodeRole,
  identity: NodeIdentity,
  { ca, store, clock, signal }: { ca: RemoteCA; store: IdentityStore; clock: Clock; signal: AbortSignal },
): Promise<NodeIdentity> {
  const backoff = new Backoff(RETRY_PAUSE);
  let failure = new CoveyError("unavailable", `Cannot become a ${role}: nobody was asked`);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (attempt > 0) await sleep(clock, backoff.next(), signal);
    try {
      const privateKeyPEM = await store.pendingKey();
      const certificateChainPEM = await ca.renew(
        identity,
        await createCertificateRequest(privateKeyPEM),
        signal,
      );
      const renewed = assembleIdentity({ rootCAPEM: identity.rootCAPEM, certificateChainPEM, privateKeyPEM });
      if (renewed.role === `swarm-${role}`) return await store.save(renewed);
      failure = new CoveyError(
        "unavailable",
        `Cannot become a ${role}: the certificate is a ${renewed.role}'s`,
      );
    } catch (thrown) {
      failure = CoveyError.from(thrown);
      if (failure.code === "permission_denied") throw failure;
    }
  }
  throw failure;
}
