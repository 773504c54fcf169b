/** Wire messages of the certificate authority: the only calls a peer without a certificate may make. */
import type { NodeAvailability, NodeRole } from "./node.ts";

/** A role as certificates carry it, in the subject's organizational unit. */
export type CertificateRole = "swarm-manager" | "swarm-worker";

/** What a verified peer certificate says. */
export interface CertificateIdentity {
  /** Common name. */
  nodeID: string;
  /** Organization. */
  clusterID: string;
  /** Organizational unit. */
  role: CertificateRole;
  certificatePEM: string;
}

/** Names of the CA's calls. */
export const CA_METHODS = {
  /** Asks for nothing. */
  getRootCACertificate: "ca.getRootCACertificate",
  issueNodeCertificate: "ca.issueNodeCertificate",
} as const;

/** Answer of `ca.getRootCACertificate`; the joiner compares it with the digest in its join token. */
export interface GetRootCACertificateResponse {
  /** PEM */
  Certificate: string;
}

/**
 * Request of `ca.issueNodeCertificate`. Over a connection with a valid node certificate it is a renewal:
 * the node keeps its ID, gets the role of its spec, and `Token`, `Availability` and `ReissueNodeID` are ignored;
 * except that a manager which sends a `Token` passes on a join.
 */
export interface IssueNodeCertificateRequest {
  /** PKCS#10 in PEM; only its public key is used, its subject is ignored. */
  CSR: string;
  /** Join token; decides the role of a new node. */
  Token?: string;
  /** Availability of a new node. Default: `active`. */
  Availability?: NodeAvailability;
  /**
   * The node ID the sender already holds for the CSR's key. If the cluster does not know the key under this
   * ID the call fails with `not_found` instead of making a second node.
   */
  ReissueNodeID?: string;
}

/** Answer of `ca.issueNodeCertificate`. While `pending`, ask again with the same CSR. */
export interface IssueNodeCertificateResponse {
  NodeID: string;
  Role: NodeRole;
  Status: "issued" | "pending";
  /** PEM, the node's certificate first; present when `issued`. */
  Certificate?: string;
  /** The cluster's root certificate, PEM. */
  RootCA: string;
  ClusterID: string;
}
