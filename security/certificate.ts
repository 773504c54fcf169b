/** Reads X.509 certificates. */
import { X509Certificate } from "node:crypto";
import type { CertificateRole } from "../api/ca.ts";
import { CoveyError } from "../api/errors.ts";
import type { NodeRole } from "../api/node.ts";
import { subjectDER } from "./certificate_usage.ts";
import { assertP256, assertSupported, publicKeyDigest } from "./key_pair.ts";
import { decodePEM, decodeSinglePEM, encodePEM } from "./pem.ts";
import { ECDSA_WITH_SHA256, RSA_WITH_SHA256, type Subject } from "./x509_names.ts";

/** Longest DER certificate read, bytes: ours have about 600, and 1,500 of a root with a large RSA key. */
const MAX_CERTIFICATE_BYTES = 8192;

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
/** First byte of a BIT STRING without unused bits. */
const WHOLE_BYTES = 0;

/** What a certificate says; nothing is verified yet. Times are milliseconds since 1970. */
export interface CertificateInfo {
  subject: Subject;
  /** DER of the whole subject. */
  subjectDER: Uint8Array<ArrayBuffer>;
  /** Full subject and issuer names as text, for finding the issuer. */
  subjectName: string;
  issuerName: string;
  notBefore: number;
  notAfter: number;
  /** Whether it may sign other certificates. */
  isCA: boolean;
  /** DER SubjectPublicKeyInfo. */
  publicKey: Uint8Array<ArrayBuffer>;
  /** SHA-256 of `publicKey`, hexadecimal. */
  publicKeyDigest: string;
  der: Uint8Array<ArrayBuffer>;
  pem: string;
  x509: X509Certificate;
}

/** Reads one certificate, PEM or DER; `invalid_argument` when it is none. */
export function readCertificate(certificate: string | Uint8Array): CertificateInfo {
  try {
    const der = typeof certificate === "string"
      ? decodeSinglePEM("CERTIFICATE", certificate)
      : Uint8Array.from(certificate);
    if (der.length > MAX_CERTIFICATE_BYTES) {
      throw new CoveyError(
        "invalid_argument",
        `it has ${der.length} bytes, the limit is ${MAX_CERTIFICATE_BYTES}`,
      );
    }
    checkEnvelope(der);
    const x509 = new X509Certificate(der);
    const publicKey = publicKeyOfCertificate(x509);
    return {
      subject: readSubject(x509.subject),
      subjectDER: subjectDER(der),
      subjectName: x509.subject ?? "",
      issuerName: x509.issuer ?? "",
      notBefore: Date.parse(x509.validFrom),
      notAfter: Date.parse(x509.validTo),
      isCA: x509.ca,
      publicKey,
      publicKeyDigest: publicKeyDigest(publicKey),
      der,
      pem: encodePEM("CERTIFICATE", der),
      x509,
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CoveyError("invalid_argument", `Cannot read certificate: ${why}`, { cause });
  }
}

/** Whether `issuer` is a CA, has the name that `certificate` names and signed it. Dates are not judged. */
export function isIssuedBy(certificate: CertificateInfo, issuer: CertificateInfo): boolean {
  if (!issuer.isCA || certificate.issuerName !== issuer.subjectName) return false;
  try {
    return certificate.x509.verify(issuer.x509.publicKey);
  } catch {
    return false; // its signature cannot even be read
  }
}

/** The first of `candidates` that issued `certificate`. */
export function issuerOf(
  certificate: CertificateInfo,
  candidates: readonly CertificateInfo[],
): CertificateInfo | undefined {
  return candidates.find((candidate) => isIssuedBy(certificate, candidate));
}

/** Reads every certificate of a PEM chain, the node's own first. */
export function readCertificates(pem: string): CertificateInfo[] {
  return decodePEM("CERTIFICATE", pem).map(readCertificate);
}

/** The certificate role of a node role. */
export function certificateRole(role: NodeRole): CertificateRole {
  return `swarm-${role}`;
}

/** The node role of a certificate role, or undefined for any other organizational unit. */
export function nodeRole(organizationalUnit: string | undefined): NodeRole | undefined {
  if (organizationalUnit === "swarm-manager") return "manager";
  return organizationalUnit === "swarm-worker" ? "worker" : undefined;
}

/**
 * Checks the bytes that the signature does not cover: those around the signed body. `X509Certificate` takes them
 * in several spellings, so that others could pass on a certificate under many digests. Its own check, because
 * an idle agent reads certificates too and is not to load the ASN.1 module for it (decision 0030).
 */
function checkEnvelope(der: Uint8Array<ArrayBuffer>): void {
  const body = elementAt(der, 0, SEQUENCE);
  const tail = elementAt(der, body.start, SEQUENCE).end;
  const algorithm = [ECDSA_WITH_SHA256, RSA_WITH_SHA256]
    .find((known) => known.every((byte, at) => der[tail + at] === byte));
  const signature = algorithm && elementAt(der, tail + algorithm.length, BIT_STRING);
  const isOurs = body.end === der.length && signature?.end === der.length &&
    der[signature.start] === WHOLE_BYTES;
  if (!isOurs) throw new CoveyError("invalid_argument", "it is not signed with ECDSA, or RSA, and SHA-256");
}

/** Where the contents of the element at `at` lie, which is a `tag`; its length must be spelled as DER does. */
function elementAt(der: Uint8Array, at: number, tag: number): { start: number; end: number } {
  const first = der[at + 1] ?? 0;
  const count = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + count;
  const length = count === 0 ? first : der.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
  const isMinimal = count === 0 || (count === 1 ? length >= 0x80 : count === 2 && length >= 0x100);
  if (der[at] !== tag || !isMinimal) throw new CoveyError("invalid_argument", "it is not DER");
  return { start, end: start + length };
}

function publicKeyOfCertificate(x509: X509Certificate): Uint8Array<ArrayBuffer> {
  const key = new Uint8Array(x509.publicKey.export({ type: "spki", format: "der" }));
  return x509.ca ? assertSupported(key) : assertP256(key);
}

/** One `NAME=value` per line; a name given twice is ambiguous and read as absent. */
function readSubject(text: string | undefined): Subject {
  const subject: Subject = {};
  for (const name of ["CN", "O", "OU"] as const) {
    const values = (text ?? "").split("\n").filter((line) => line.startsWith(`${name}=`));
    if (values.length === 1) subject[name] = values[0]!.slice(name.length + 1);
  }
  return subject;
}
