import { X509Certificate } from "node:crypto";
import { CoveyError } from "../../api/errors.ts";
import {
  createRouter,
  type Method,
  type PeerIdentity,
  type Router,
  type VerifyPeer,
} from "../../transport/mod.ts";
import { settle } from "./fake_clock.ts";

/** An identity as a certificate would prove it. */
export function identityOf(nodeID: string, role: PeerIdentity["role"] = "swarm-worker"): PeerIdentity {
  return { nodeID, clusterID: "cluster1", role, certificatePEM: `certificate of ${nodeID}` };
}

/**
 * Accepts chains whose leaf the root signed, as the security package does, but without dates and blacklist.
 */
export function verifyAgainst(rootPEM: string): VerifyPeer {
  const root = new X509Certificate(rootPEM);
  return (chainPEM) => {
    if (chainPEM === undefined) return undefined;
    const leaf = new X509Certificate(chainPEM);
    if (!leaf.verify(root.publicKey)) {
      throw new CoveyError(
        "permission_denied",
        "Cannot accept certificate: another cluster's root signed it",
      );
    }
    const field = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(leaf.subject)?.[1] ?? "";
    const role = field("OU") as PeerIdentity["role"];
    return { nodeID: field("CN"), clusterID: field("O"), role, certificatePEM: leaf.toString() };
  };
}

/** A router with `methods`. */
export function routerOf(methods: Record<string, Method>): Router {
  const router = createRouter();
  for (const [name, method] of Object.entries(methods)) router.register(name, method);
  return router;
}

/** Waits until `condition` holds, for at most so many turns of the event loop. */
export async function until(condition: () => boolean, turns = 2000): Promise<void> {
  for (let i = 0; i < turns && !condition(); i++) await settle(1);
  if (!condition()) throw new Error(`still not so after ${turns} turns: ${condition}`);
}

/** Yields numbers for ever; knows how many were taken and whether it was ended. */
export class Counter {
  taken = 0;
  ended = false;

  async *numbers(limit = Infinity): AsyncGenerator<number> {
    try {
      while (this.taken < limit) yield this.taken++;
    } finally {
      this.ended = true;
    }
    await Promise.resolve();
  }
}
