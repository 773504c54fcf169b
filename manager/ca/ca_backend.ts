/** What the certificate authority needs of the rest of a manager. */
import type { ClusterRootCA } from "../../api/cluster.ts";
import type { RootCA } from "../../security/mod.ts";
import type { NodeAvailability, NodeCertificate, NodeRole } from "../../api/node.ts";

/** The cluster as the CA sees it. */
export interface CACluster {
  ID: string;
  /** PEM of the root that join tokens name. */
  rootCertPEM: string;
  /** Who signs, which is another root while that one is replaced. */
  signer: RootCA;
  /** PEM of the roots whose certificates count. */
  trustedRoots: readonly string[];
  joinTokens: ClusterRootCA["JoinTokens"];
  /** Life of node certificates, milliseconds. */
  nodeCertExpiryMs: number;
  /** How long after its expiry a certificate may be renewed, milliseconds. */
  renewalGraceMs: number;
  /** Whether the certificates of this node ID were revoked. */
  blocked: (nodeID: string) => boolean;
}

/** A node as the CA sees it. */
export interface CANode {
  ID: string;
  /** The role to certify: the one the node has; a manager that shall be none keeps it until it has left the quorum. */
  Role: NodeRole;
  /** True while somebody still has to accept the node. */
  Pending?: boolean;
  /** SHA-256 of the public key that was certified last, hexadecimal; none of a first manager before its first renewal. */
  PublicKeyDigest?: string;
}

/** A node to create. */
export interface CANewNode extends CANode {
  /** SHA-256 of its public key, hexadecimal. */
  PublicKeyDigest: string;
  Availability: NodeAvailability;
}

/** The state store, narrowed. Writes resolve when committed; on a follower every method throws `unavailable`. */
export interface CABackend {
  cluster(): CACluster;
  nodeByID(nodeID: string): CANode | undefined;
  /** The node whose last certificate, or first request, has this public key. */
  nodeByPublicKey(digest: string): CANode | undefined;
  createNode(node: CANewNode): Promise<CANode>;
  /** Stores what was issued, before the node gets it. */
  recordIssued(nodeID: string, certificate: NodeCertificate): Promise<void>;
}
