/** Closes the connections of nodes that the cluster has removed or demoted, or for which only a former root vouches, with the calls on them, as soon as the store says so. */
import { getLogger } from "@logtape/logtape";
import type { Clock } from "../../api/clock.ts";
import type { Connection, PeerIdentity } from "../../transport/mod.ts";
import type { Commit } from "../store/store.ts";
import { type Judge, type Standing, standingOf } from "./standing.ts";

const logger = getLogger(["covey", "node"]);

/** Time for the last answer: a manager that withdraws hears on its connection that it is forgotten. */
const FAREWELL_MS = 1_000;

/** What is kept of a connection: calls go the other way. */
export type KeptConnection = Pick<Connection, "peer" | "closed" | "close">;

/** The last word about a connection's node, and why it ends when that becomes worse. */
const WORSE: Partial<Record<Standing, string>> = {
  removed: "the node was removed from the cluster",
  unknown: "the cluster has no such node",
  demoted: "the node is no manager any more",
  former: "the root that vouches for the node was replaced",
};

interface Kept {
  connection: KeptConnection;
  peer: PeerIdentity;
  standing: Standing;
}

/** Closes a node's open connections when its standing in the cluster no longer allows them. */
export class ConnectionKeeper {
  readonly #judge: Judge;
  readonly #clock: Clock;
  readonly #byNode = new Map<string, Set<Kept>>();

  constructor(judge: Judge, clock: Clock) {
    this.#judge = judge;
    this.#clock = clock;
  }

  /** Takes note of a connection that was accepted. Those without a certificate have nothing to lose. */
  add(connection: KeptConnection): void {
    const { peer } = connection;
    if (!peer) return;
    const kept: Kept = { connection, peer, standing: standingOf(peer, this.#judge) };
    const ofNode = this.#byNode.get(peer.nodeID) ?? new Set();
    this.#byNode.set(peer.nodeID, ofNode.add(kept));
    void connection.closed.then(() => {
      ofNode.delete(kept);
      if (ofNode.size === 0 && this.#byNode.get(peer.nodeID) === ofNode) this.#byNode.delete(peer.nodeID);
    });
  }

  /** Looks at the nodes that a commit changed. */
  follow({ changes }: Commit): void {
    for (const { table, object } of changes) {
      if (table === "clusters") return this.reviewAll();
      if (table === "nodes") this.#review(object.ID);
    }
  }

  /** Looks at everybody, as when this manager has become the leader and knows all. */
  reviewAll(): void {
    for (const nodeID of [...this.#byNode.keys()]) this.#review(nodeID);
  }

  #review(nodeID: string): void {
    for (const kept of [...this.#byNode.get(nodeID) ?? []]) {
      const before = kept.standing;
      kept.standing = standingOf(kept.peer, this.#judge);
      const why = WORSE[kept.standing];
      if (kept.standing === before || why === undefined) continue;
      logger.info("Closes a connection of node {nodeID}: {why}", { nodeID, why });
      if (kept.standing === "unknown") this.#closeSoon(kept, why);
      else kept.connection.close(why);
    }
  }

  /** Nothing new is answered meanwhile. */
  #closeSoon({ connection }: Kept, why: string): void {
    const cancel = this.#clock.setTimer(FAREWELL_MS, () => connection.close(why));
    void connection.closed.then(cancel);
  }
}
