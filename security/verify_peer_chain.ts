/** Judges a peer's certificate chain against the pinned cluster root. The one place that says who a peer is. */
import type { CertificateIdentity } from "../api/ca.ts";
import { DAY_MS } from "../api/duration.ts";
import { CoveyError, type ErrorCode, type ErrorReason } from "../api/errors.ts";
import {
  type CertificateInfo,
  certificateRole,
  isIssuedBy,
  nodeRole,
  readCertificate,
  readCertificates,
} from "./certificate.ts";
import { usageOf } from "./certificate_usage.ts";

/** Certificates in a chain: the node's, a cross-signed root while it is on its way, and one for each former root. */
export const MAX_CHAIN_LENGTH = 4;

/** How {@linkcode verifyPeerChain} judges. */
export interface PeerChainOptions {
  /** Pinned root certificates, PEM; usually one, two while a root is replaced. */
  roots: readonly string[];
  /** Milliseconds since 1970, from the clock floor. */
  now: number;
  /** The cluster that the peer must belong to. Left out: any cluster of these roots. */
  clusterID?: string;
  /**
   * Accepts a chain whose dates begin after `now`. For a device without a clock: what the pinned root signed
   * proves that `notBefore` has passed, so feed the returned `notBefore` to the clock floor.
   */
  allowNotYetValid?: boolean;
  /** Accepts a node's certificate that expired at most so long ago, milliseconds: it may be renewed, and nothing else. */
  expiredGraceMs?: number;
}

/** A peer whose chain was verified. Times are milliseconds since 1970. */
export interface VerifiedPeer extends CertificateIdentity {
  notBefore: number;
  notAfter: number;
  /** SHA-256 of the peer's public key, hexadecimal. */
  publicKeyDigest: string;
  /** Only under `expiredGraceMs`: such a peer may do nothing but renew. */
  expired: boolean;
  /** PEM of the root that vouches for it. */
  rootPEM: string;
}

/** A chain whose signatures lead to a root; dates are not judged. */
export interface TrustPath {
  identity: CertificateIdentity;
  /** The node's own certificate first, the root last. */
  path: CertificateInfo[];
}

/**
 * Verifies signatures and names, but no dates: for reading one's own identity, whose dates are judged apart.
 *
 * @param chain PEM text, or DER certificates; the peer's own first
 * @throws CoveyError `unauthenticated` with what is wrong
 */
export function verifyChainSignatures(
  chain: string | readonly Uint8Array[],
  roots: readonly string[],
): TrustPath {
  const certificates = readChain(chain);
  const trusted = roots.flatMap(readCertificates);
  const leaf = certificates[0]!;
  const path = [leaf];
  while (true) {
    const last = path.at(-1)!;
    const root = trusted.find((candidate) => isIssuedBy(last, candidate));
    if (root) {
      path.push(root);
      break;
    }
    const next = certificates.find((candidate) => !path.includes(candidate) && isIssuedBy(last, candidate));
    if (!next) refuse("unauthenticated", leaf, "it was not signed by the root CA of this cluster");
    path.push(next);
  }
  return { identity: readIdentity(leaf), path };
}

/**
 * Says who a peer is, or throws what is wrong with its chain.
 *
 * @param chain PEM text, or DER certificates; the peer's own first
 * @throws CoveyError `unauthenticated` (unreadable, other root, dates) or `permission_denied` (other cluster)
 */
export function verifyPeerChain(
  chain: string | readonly Uint8Array[],
  options: PeerChainOptions,
): VerifiedPeer {
  const { identity, path } = verifyChainSignatures(chain, options.roots);
  const leaf = path[0]!;
  checkUsage(leaf);
  let expired = false;
  for (const certificate of path) expired = checkDates(certificate, leaf, options) || expired;
  if (options.clusterID !== undefined && identity.clusterID !== options.clusterID) {
    const why = `it belongs to cluster ${identity.clusterID}, not to ${options.clusterID}`;
    refuse("permission_denied", leaf, why);
  }
  const { notBefore, notAfter, publicKeyDigest } = leaf;
  return { ...identity, notBefore, notAfter, publicKeyDigest, expired, rootPEM: path.at(-1)!.pem };
}

function readChain(chain: string | readonly Uint8Array[]): CertificateInfo[] {
  let certificates: CertificateInfo[];
  try {
    certificates = typeof chain === "string" ? readCertificates(chain) : chain.map(readCertificate);
  } catch (cause) {
    throw new CoveyError("unauthenticated", CoveyError.from(cause).message, { cause });
  }
  if (certificates.length === 0) {
    throw new CoveyError("unauthenticated", "Cannot trust peer: it sent no certificate");
  }
  if (certificates.length > MAX_CHAIN_LENGTH) {
    const count = `${certificates.length} certificates, at most ${MAX_CHAIN_LENGTH} are allowed`;
    throw new CoveyError("unauthenticated", `Cannot trust peer: it sent ${count}`);
  }
  return certificates;
}

function readIdentity(leaf: CertificateInfo): CertificateIdentity {
  const { CN, O, OU } = leaf.subject;
  const role = nodeRole(OU);
  if (leaf.isCA || !CN || !O || !role) {
    refuse("unauthenticated", leaf, "it is not a node certificate (node ID, cluster ID and role are needed)");
  }
  return { nodeID: CN, clusterID: O, role: certificateRole(role), certificatePEM: leaf.pem };
}

/** A node's key signs handshakes, as a server and as a client, and nothing else. */
function checkUsage(leaf: CertificateInfo): void {
  const { digitalSignature, serverAuth, clientAuth } = usageOf(leaf.der);
  const missing = [
    ...(digitalSignature ? [] : ["digital signature"]),
    ...(serverAuth ? [] : ["server authentication"]),
    ...(clientAuth ? [] : ["client authentication"]),
  ];
  if (missing.length > 0) {
    refuse("unauthenticated", leaf, `its key may not be used for ${missing.join(", ")}`);
  }
}

/** Whether `certificate` has expired but is let in by grace; throws when it is not let in. */
function checkDates(certificate: CertificateInfo, leaf: CertificateInfo, options: PeerChainOptions): boolean {
  const { now, expiredGraceMs } = options;
  const which = certificate === leaf ? "it" : "its issuer's certificate";
  const clock = `the clock says ${isoTime(now)}`;
  if (now < certificate.notBefore && !options.allowNotYetValid) {
    refuse(
      "unauthenticated",
      leaf,
      `${which} is not valid before ${isoTime(certificate.notBefore)}, ${clock}`,
      "dates",
    );
  }
  if (now <= certificate.notAfter) return false;
  if (certificate === leaf && expiredGraceMs !== undefined && now - leaf.notAfter <= expiredGraceMs) {
    return true;
  }
  const days = expiredGraceMs === undefined ? 0 : Math.floor(expiredGraceMs / DAY_MS);
  const tooLate = certificate === leaf && expiredGraceMs !== undefined
    ? ` and it could be renewed for ${days} days; started with --join and a join token of this cluster the node keeps its ID`
    : "";
  refuse(
    "unauthenticated",
    leaf,
    `${which} expired on ${isoTime(certificate.notAfter)}, ${clock}${tooLate && `,${tooLate}`}`,
    "dates",
  );
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function refuse(code: ErrorCode, leaf: CertificateInfo, why: string, reason?: ErrorReason): never {
  const message = `Cannot trust certificate of node ${leaf.subject.CN ?? "(no name)"}: ${why}`;
  throw new CoveyError(code, message, { reason });
}
