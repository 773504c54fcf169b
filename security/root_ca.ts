/** The cluster's certificate authority: makes the root and signs node certificates (RFC 5280). */
import type { CertificateRole } from "../api/ca.ts";
import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import type { Random } from "../api/random.ts";
import { readCertificate } from "./certificate.ts";
import {
  bitString,
  contextTag,
  element,
  integer,
  objectIdentifier,
  sequence,
  TAG,
  time,
} from "./der_writer.ts";
import { createPrivateKeyPEM, keyIdentifier, publicKeyOf, signDER } from "./key_pair.ts";
import { encodePEM } from "./pem.ts";
import { ECDSA_WITH_SHA256, encodeName, OID } from "./x509_names.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Common name of every root, and a DNS name of every manager (SwarmKit). */
export const ROOT_CA_NAME = "swarm-ca";
/** Life of a root certificate: 20 years (SwarmKit). */
export const ROOT_CA_EXPIRY_MS = 20 * 365 * DAY_MS;
/** Default life of a node certificate: 90 days (SwarmKit). */
export const DEFAULT_NODE_CERT_EXPIRY_MS = 90 * DAY_MS;
/** Shortest life of a node certificate: 1 hour (SwarmKit). */
export const MIN_NODE_CERT_EXPIRY_MS = HOUR_MS;
/** How far certificates are back-dated, for devices whose clock is behind: 1 hour (SwarmKit). */
export const CERT_BACKDATE_MS = HOUR_MS;

const SERIAL_BYTES = 16;

/** A root certificate and the key that signs with it. Never log it. */
export interface RootCA {
  certificatePEM: string;
  /** PKCS#8 */
  privateKeyPEM: string;
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
  const privateKeyPEM = await createPrivateKeyPEM();
  const publicKey = publicKeyOf(privateKeyPEM);
  const now = context.clock.now();
  const name = encodeName({ CN: ROOT_CA_NAME });
  const certificatePEM = await signCertificate(privateKeyPEM, context.random, {
    issuer: name,
    subject: name,
    publicKey,
    notBefore: now - CERT_BACKDATE_MS,
    notAfter: now + ROOT_CA_EXPIRY_MS,
    extensions: [
      extension(OID.basicConstraints, true, sequence(element(TAG.boolean, Uint8Array.of(0xff)))),
      extension(OID.keyUsage, true, bitString(Uint8Array.of(0b0000_0110), 1)), // keyCertSign, cRLSign
      extension(OID.subjectKeyIdentifier, false, element(TAG.octetString, keyIdentifier(publicKey))),
    ],
  });
  return { certificatePEM, privateKeyPEM };
}

/** Signs a node certificate; the answer is PEM. */
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
  return await signCertificate(root.privateKeyPEM, context.random, {
    issuer: encodeName({ CN: ROOT_CA_NAME }),
    subject: encodeName({ CN: nodeID, O: clusterID, OU: role }),
    publicKey,
    notBefore: now - CERT_BACKDATE_MS,
    notAfter: Math.min(now + expiryMs, issuer.notAfter),
    extensions: nodeExtensions(issuer.publicKey, options),
  });
}

function nodeExtensions(
  issuerKey: Uint8Array<ArrayBuffer>,
  { role, nodeID, publicKey }: NodeCertificateOptions,
): Uint8Array[] {
  const names = role === "swarm-manager" ? [role, nodeID, ROOT_CA_NAME] : [role, nodeID];
  const dnsNames = names.map((name) => element(contextTag(2, false), new TextEncoder().encode(name)));
  const purposes = sequence(objectIdentifier(OID.serverAuth), objectIdentifier(OID.clientAuth));
  const authorityKey = element(contextTag(0, false), keyIdentifier(issuerKey));
  return [
    extension(OID.basicConstraints, true, sequence()),
    extension(OID.keyUsage, true, bitString(Uint8Array.of(0b1000_0000), 7)), // digitalSignature
    extension(OID.extendedKeyUsage, false, purposes),
    extension(OID.subjectKeyIdentifier, false, element(TAG.octetString, keyIdentifier(publicKey))),
    extension(OID.authorityKeyIdentifier, false, sequence(authorityKey)),
    extension(OID.subjectAltName, false, sequence(...dnsNames)),
  ];
}

interface CertificateFields {
  issuer: Uint8Array;
  subject: Uint8Array;
  publicKey: Uint8Array;
  notBefore: number;
  notAfter: number;
  extensions: Uint8Array[];
}

async function signCertificate(keyPEM: string, random: Random, fields: CertificateFields): Promise<string> {
  const serial = random.bytes(SERIAL_BYTES);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // positive and of constant length
  const body = sequence(
    element(contextTag(0, true), integer(Uint8Array.of(2))), // version 3
    integer(serial),
    ECDSA_WITH_SHA256,
    fields.issuer,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    fields.subject,
    fields.publicKey,
    element(contextTag(3, true), sequence(...fields.extensions)),
  );
  const signature = bitString(await signDER(keyPEM, body));
  return encodePEM("CERTIFICATE", sequence(body, ECDSA_WITH_SHA256, signature));
}

function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? [element(TAG.boolean, Uint8Array.of(0xff))] : [];
  return sequence(objectIdentifier(oid), ...flag, element(TAG.octetString, value));
}
