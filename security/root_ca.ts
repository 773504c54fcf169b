/** The cluster's certificate authority: makes the root and signs node certificates (RFC 5280). */
import { DAY_MS, HOUR_MS } from "../api/duration.ts";
import type { CertificateRole } from "../api/ca.ts";
import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import type { Random } from "../api/random.ts";
import { type CertificateInfo, readCertificate } from "./certificate.ts";
import { type ASN1Value, DER } from "./der.ts";
import { createPrivateKeyPEM, isRSA, keyIdentifier, publicKeyOf, signDER } from "./key_pair.ts";
import { encodePEM } from "./pem.ts";
import { ECDSA_WITH_SHA256, nameOf, OID, ROOT_CA_NAME, RSA_WITH_SHA256 } from "./x509_names.ts";

/** Life of a root certificate: 20 years (SwarmKit). */
const ROOT_CA_EXPIRY_MS = 20 * 365 * DAY_MS;
/** Default life of a node certificate: 90 days (SwarmKit). */
const DEFAULT_NODE_CERT_EXPIRY_MS = 90 * DAY_MS;
/** Shortest life of a node certificate: 1 hour (SwarmKit). */
const MIN_NODE_CERT_EXPIRY_MS = HOUR_MS;
/** How far certificates are back-dated, for devices whose clock is behind: 1 hour (SwarmKit). */
export const CERT_BACKDATE_MS = HOUR_MS;

const SERIAL_BYTES = 16;

/** A root certificate and the key that signs with it. Never log it. */
export interface RootCA {
  certificatePEM: string;
  /** PKCS#8 */
  privateKeyPEM: string;
  /** PEM of what leads from it to roots of before, to go with each certificate: those who know only them take it then. */
  intermediatesPEM?: string;
}

/** What a node certificate is to say. Every value is the CA's own choice, none comes from a request. */
export interface NodeCertificateOptions {
  /** DER SubjectPublicKeyInfo of the node, from a verified request. */
  publicKey: Uint8Array<ArrayBuffer>;
  nodeID: string;
  clusterID: string;
  role: CertificateRole;
  /** Life in milliseconds from now. Default: 90 days; at least 1 hour; never longer than the root's. */
  expiryMs?: number;
}

/** Where time and serial numbers come from. */
export interface SigningContext {
  clock: Clock;
  random: Random;
}

/** Makes a new self-signed root. */
export async function createRootCA(context: SigningContext): Promise<RootCA> {
  const der = await DER.load();
  const privateKeyPEM = await createPrivateKeyPEM();
  const publicKey = publicKeyOf(privateKeyPEM);
  const now = context.clock.now();
  const name = nameOf(der, { CN: ROOT_CA_NAME });
  const certificatePEM = signCertificate(der, { publicKey, privateKeyPEM }, context.random, {
    issuer: name,
    subject: name,
    publicKey,
    notBefore: now - CERT_BACKDATE_MS,
    notAfter: now + ROOT_CA_EXPIRY_MS,
    extensions: rootExtensions(der, publicKey),
  });
  return { certificatePEM, privateKeyPEM };
}

/**
 * A certificate by `root` for the key and the name of another root (PEM): whoever trusts `root` trusts the other one's
 * certificates by it. It ends with either of them.
 */
export async function crossSign(
  root: RootCA,
  otherPEM: string,
  context: SigningContext,
): Promise<string> {
  const issuer = readCertificate(root.certificatePEM), other = readCertificate(otherPEM);
  const der = await DER.load();
  const { publicKey } = other;
  return signCertificate(der, { ...issuer, ...root }, context.random, {
    issuer: der.decode(issuer.subjectDER),
    subject: der.decode(other.subjectDER),
    publicKey,
    notBefore: context.clock.now() - CERT_BACKDATE_MS,
    notAfter: Math.min(issuer.notAfter, other.notAfter),
    extensions: [...rootExtensions(der, publicKey), issuedBy(der, issuer)],
  });
}

function rootExtensions(der: DER, publicKey: Uint8Array<ArrayBuffer>): ASN1Value[] {
  return [
    extension(der, OID.basicConstraints, true, der.sequence(der.true())),
    extension(der, OID.keyUsage, true, der.bitString(Uint8Array.of(0b0000_0110), 1)), // keyCertSign, cRLSign
    extension(der, OID.subjectKeyIdentifier, false, der.octetString(keyIdentifier(publicKey))),
  ];
}

/** Signs a node certificate; the answer is PEM, with the root's intermediates behind it. */
export async function issueNodeCertificate(
  root: RootCA,
  options: NodeCertificateOptions,
  context: SigningContext,
): Promise<string> {
  const expiryMs = options.expiryMs ?? DEFAULT_NODE_CERT_EXPIRY_MS;
  if (!(expiryMs >= MIN_NODE_CERT_EXPIRY_MS)) {
    throw new CoveyError(
      "invalid_argument",
      `Cannot issue node certificate: a life of ${expiryMs} ms is under the minimum of ${MIN_NODE_CERT_EXPIRY_MS} ms`,
    );
  }
  const issuer = readCertificate(root.certificatePEM);
  const now = context.clock.now();
  if (now >= issuer.notAfter) {
    const since = new Date(issuer.notAfter).toISOString();
    throw new CoveyError(
      "failed_precondition",
      `Cannot issue node certificate: the root CA expired on ${since}`,
    );
  }
  const { nodeID, clusterID, role, publicKey } = options;
  const der = await DER.load();
  const certificatePEM = signCertificate(der, { ...issuer, ...root }, context.random, {
    issuer: der.decode(issuer.subjectDER),
    subject: nameOf(der, { CN: nodeID, O: clusterID, OU: role }),
    publicKey,
    notBefore: now - CERT_BACKDATE_MS,
    notAfter: Math.min(now + expiryMs, issuer.notAfter),
    extensions: nodeExtensions(der, issuer, options),
  });
  return certificatePEM + (root.intermediatesPEM ?? "");
}

function nodeExtensions(
  der: DER,
  issuer: CertificateInfo,
  { role, nodeID, publicKey }: NodeCertificateOptions,
): ASN1Value[] {
  const names = role === "swarm-manager" ? [role, nodeID, ROOT_CA_NAME] : [role, nodeID];
  const dnsNames = names.map((name) => der.context(2, new TextEncoder().encode(name)));
  const purposes = der.sequence(der.oid(OID.serverAuth), der.oid(OID.clientAuth));
  return [
    extension(der, OID.basicConstraints, true, der.sequence()),
    extension(der, OID.keyUsage, true, der.bitString(Uint8Array.of(0b1000_0000), 7)), // digitalSignature
    extension(der, OID.extendedKeyUsage, false, purposes),
    extension(der, OID.subjectKeyIdentifier, false, der.octetString(keyIdentifier(publicKey))),
    issuedBy(der, issuer),
    extension(der, OID.subjectAltName, false, der.sequence(...dnsNames)),
  ];
}

function issuedBy(der: DER, { publicKey }: CertificateInfo): ASN1Value {
  const key = der.context(0, keyIdentifier(publicKey));
  return extension(der, OID.authorityKeyIdentifier, false, der.sequence(key));
}

interface CertificateFields {
  issuer: ASN1Value;
  subject: ASN1Value;
  /** DER SubjectPublicKeyInfo. */
  publicKey: Uint8Array;
  notBefore: number;
  notAfter: number;
  extensions: ASN1Value[];
}

/** Who signs. */
interface Signer {
  publicKey: Uint8Array;
  privateKeyPEM: string;
}

function signCertificate(
  der: DER,
  { publicKey, privateKeyPEM }: Signer,
  random: Random,
  fields: CertificateFields,
): string {
  const serial = random.bytes(SERIAL_BYTES);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // positive and of constant length
  const algorithm = der.decode(isRSA(publicKey) ? RSA_WITH_SHA256 : ECDSA_WITH_SHA256);
  const body = der.sequence(
    der.context(0, [der.integer(2)]), // version 3
    der.integerBytes(serial),
    algorithm,
    fields.issuer,
    der.sequence(der.time(fields.notBefore), der.time(fields.notAfter)),
    fields.subject,
    der.decode(fields.publicKey),
    der.context(3, [der.sequence(...fields.extensions)]),
  );
  const signature = der.bitString(signDER(privateKeyPEM, der.encode(body)));
  return encodePEM("CERTIFICATE", der.encode(der.sequence(body, algorithm, signature)));
}

function extension(der: DER, oid: string, critical: boolean, value: ASN1Value): ASN1Value {
  const flag = critical ? [der.true()] : [];
  return der.sequence(der.oid(oid), ...flag, der.octetString(der.encode(value)));
}
