/**
 * Who may call what. A certificate says what a node was when it was issued and is the upper bound; what of it still holds
 * says the store, which is asked at each call.
 *
 *     certificate    in the store                            standing    node calls   managers' calls
 *     any            no cluster yet (this manager joins)     as issued   yes          as the certificate says
 *     any            removed, or not known                   removed,    no           no
 *                                                            unknown
 *     worker         worker, or manager (about to renew)     worker      yes          only `raft.messages`, to be told
 *     manager        manager                                 manager     yes          yes
 *     manager        worker                                  demoted     yes          only `raft.messages`, to be told
 *     expired        whatever it says, within the grace      expired     no           no: it may renew
 *     by a root that was replaced                            former      no           no: it may renew
 *
 * A manager that does not lead may lag behind: it may not know yet of a node, or of a promotion. What the cluster's CA
 * certified after this store's last word about the node counts as certified; such a manager hands on all that is a
 * leader's to do, and its vote may be what is missing to elect one.
 */
import { CoveyError } from "../../api/errors.ts";
import { RAFT_METHODS } from "../../api/raft.ts";
import type { Access, PeerIdentity } from "../../transport/mod.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import { trustedRoots } from "../cluster/root_ca.ts";
import type { ReadView } from "../store/store.ts";

/** What a node is to the cluster now, as the table above derives it. */
export type Standing = "manager" | "worker" | "demoted" | "removed" | "unknown" | "expired" | "former";

/** What a manager judges by. */
export interface Judge {
  readonly view: ReadView;
  /** Whether this manager leads, so that its store has all that was ever acknowledged. */
  leads(): boolean;
  /** What a peer's certificate says of itself; undefined if it cannot be read. */
  certified(peer: PeerIdentity): Certified | undefined;
}

/** How a certificate is told from another one of the same node. */
export interface Certified {
  /** SHA-256 of its public key, hexadecimal. */
  publicKeyDigest: string;
  /** Milliseconds since 1970, in whole seconds. */
  issuedAt: number;
}

/** What a peer may make of a call: all of it, nothing, or only be told that its member was removed from the quorum. */
export type Verdict =
  | { may: "call" }
  | { may: "be_told"; refusal: CoveyError }
  | { may: "nothing"; standing: Standing; refusal: CoveyError };

/** What a peer is to the cluster now. Its certificate was verified; no dates are judged here. */
export function standingOf(peer: PeerIdentity, { view, leads, certified: read }: Judge): Standing {
  const cluster = clusterOf(view);
  const isFormer = cluster && peer.rootPEM !== undefined && !trustedRoots(cluster).includes(peer.rootPEM);
  // Whoever has the key of a former root chooses the dates as well: what it signs proves nothing, expired or not.
  if (peer.expired) return isFormer ? "former" : "expired";
  const certified = peer.role === "swarm-manager" ? "manager" : "worker";
  if (!cluster) return certified;
  if (Object.hasOwn(cluster.BlacklistedCertificates, peer.nodeID)) return "removed";
  if (isFormer) return "former";
  const node = view.get("nodes", peer.nodeID);
  if (!node) return !leads() && read(peer) ? certified : "unknown";
  if (certified === "worker" || node.Role === "manager") return certified;
  if (leads()) return "demoted";
  const certificate = read(peer);
  const isNews = certificate !== undefined &&
    certificate.publicKeyDigest !== node.Certificate?.PublicKeyDigest &&
    certificate.issuedAt >= Math.floor(Date.parse(node.UpdatedAt) / 1000) * 1000;
  return isNews ? "manager" : "demoted";
}

/** Whether `peer` may call `name`, which is open to `access`; `asManager` if it speaks for another node. */
export function judgeCall(
  peer: PeerIdentity | undefined,
  { name, access, asManager = false }: { name: string; access: Access; asManager?: boolean },
  judge: Judge,
): Verdict {
  const wanted = asManager ? "manager" : access;
  // Whoever has no certificate was judged by the access alone.
  if (peer === undefined || wanted === "anyone") return { may: "call" };
  const standing = standingOf(peer, judge);
  if (standing === "manager" || (wanted === "node" && (standing === "worker" || standing === "demoted"))) {
    return { may: "call" };
  }
  const refusal = refusalOf(standing, `Cannot call ${name}`, peer);
  const hears = standing === "demoted" || standing === "worker";
  if (hears && name === RAFT_METHODS.messages && !asManager) return { may: "be_told", refusal };
  return { may: "nothing", standing, refusal };
}

/**
 * Who `peer` is on the connection that it opens: a manager that was demoted has the place and the share of a worker. Throws
 * why a node that is gone may not even connect.
 */
export function welcome(peer: PeerIdentity, judge: Judge): PeerIdentity {
  const { expired: _expired, rootPEM: _root, ...plain } = peer, standing = standingOf(plain, judge);
  if (standing === "removed" || standing === "unknown") {
    throw refusalOf(standing, "Cannot accept connection", peer);
  }
  if (standingOf(peer, judge) === "former") return { ...peer, role: "swarm-worker", unproven: true };
  return standing === "demoted" ? { ...peer, role: "swarm-worker" } : peer;
}

/** Throws unless the node at the other end of a dial is a manager now, as far as is known here. */
export function checkManager(peer: PeerIdentity, judge: Judge | undefined): void {
  const standing = judge ? standingOf(peer, judge) : peer.role === "swarm-manager" ? "manager" : "worker";
  if (standing !== "manager") throw refusalOf(standing, "Cannot take it for a manager", peer);
}

function refusalOf(
  standing: Exclude<Standing, "manager">,
  action: string,
  { nodeID }: PeerIdentity,
): CoveyError {
  const message = `${action}: ${REASONS[standing](nodeID)}`;
  if (standing === "expired") return new CoveyError("unauthenticated", message);
  if (standing === "former") return new CoveyError("unauthenticated", message, { reason: "former_root" });
  const reason = standing === "removed" || standing === "unknown" ? "not_in_cluster" : "no_manager";
  return new CoveyError("permission_denied", message, { reason });
}

const REASONS: Record<Exclude<Standing, "manager">, (nodeID: string) => string> = {
  removed: (nodeID) =>
    `node ${nodeID} was removed from the cluster; to join again it has to leave first (run-agent --leave)`,
  unknown: (nodeID) => `the cluster has no node ${nodeID}; to join it has to leave first (run-agent --leave)`,
  demoted: (nodeID) => `it needs role swarm-manager, node ${nodeID} is a worker now`,
  worker: (nodeID) => `it needs role swarm-manager, node ${nodeID} is a worker`,
  expired: (nodeID) => `the certificate of node ${nodeID} has expired and may only be renewed`,
  former: (nodeID) =>
    `the certificate of node ${nodeID} is by a root that was replaced, and may only be renewed`,
};
