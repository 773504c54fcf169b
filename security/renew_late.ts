/** How a node renews that may have been off for longer than its certificate, and than the cluster's grace after that. */
import { CoveyError } from "../api/errors.ts";
import type { Clock } from "../api/clock.ts";
import { createCertificateRequest } from "./certificate_request.ts";
import { assembleIdentity, type NodeIdentity } from "./node_identity.ts";
import type { RemoteCA } from "./remote_ca.ts";

/** What a late renewal works with. */
export interface LateRenewal {
  ca: Pick<RemoteCA, "renew" | "issueNodeCertificate">;
  clock: Clock;
  identity: NodeIdentity;
  /** The key of the request: where the answer to an earlier one was lost, it is the one that the cluster knows. */
  pendingKeyPEM: () => Promise<string>;
  /** A join token of the cluster, if one was given. */
  token?: string | undefined;
}

/**
 * Renews for the request `csrPEM`; resolves with the chain (PEM). If that fails for a certificate that has expired, and
 * there is a token, the cluster is asked to certify the same node anew under the key that it knows. Throws what the renewal
 * failed with, and what the token was good for.
 */
export async function renewLate(late: LateRenewal, csrPEM: string, signal: AbortSignal): Promise<string> {
  const { ca, clock, identity, token } = late;
  try {
    return await ca.renew(identity, csrPEM, signal);
  } catch (thrown) {
    const failure = CoveyError.from(thrown);
    if (signal.aborted || token === undefined || clock.now() <= identity.notAfter) throw failure;
    return await reissue(late, token, csrPEM, signal).catch((cause) => {
      const { code, message, retryable } = CoveyError.from(cause);
      throw new CoveyError(code, `${failure.message}; with the join token: ${message}`, { cause, retryable });
    });
  }
}

/** A certificate for the old key first, which then renews for the new one as ever. */
async function reissue(
  { ca, identity, pendingKeyPEM }: LateRenewal,
  token: string,
  csrPEM: string,
  signal: AbortSignal,
): Promise<string> {
  const ask = async (privateKeyPEM: string) => {
    const CSR = await createCertificateRequest(privateKeyPEM);
    const request = { CSR, Token: token.trim(), ReissueNodeID: identity.nodeID };
    const { Certificate, Status } = await ca.issueNodeCertificate(request, identity.rootCAPEM, signal);
    if (Certificate !== undefined) return Certificate;
    throw new CoveyError(
      "unavailable",
      `Cannot certify node ${identity.nodeID} anew: the request is ${Status}`,
    );
  };
  try {
    const { rootCAPEM, privateKeyPEM } = identity;
    const certificateChainPEM = await ask(privateKeyPEM);
    return await ca.renew(
      assembleIdentity({ rootCAPEM, certificateChainPEM, privateKeyPEM }),
      csrPEM,
      signal,
    );
  } catch (thrown) {
    if (CoveyError.from(thrown).code !== "not_found") throw thrown;
    return await ask(await pendingKeyPEM());
  }
}
