/** Reads X.509 certificates. */
import { X509Certificate } from "node:crypto";
import type { CertificateRole } from "../api/ca.ts";
import { CoveyError } from "../api/errors.ts";
import type { NodeRole } from "../api/node.ts";
import { expectTag, readElement, readElements } from "./der_reader.ts";
import { TAG } from "./der_writer.ts";
import { assertP256, publicKeyDigest } from "./key_pair.ts";
import { decodePEM, decodeSinglePEM, encodePEM } from "./pem.ts";
import { ECDSA_WITH_SHA256, type Subject } from "./x509_names.ts";

/** Longest DER certificate read, bytes: ours have about 600. */
export const MAX_CERTIFICATE_BYTES = 8192;

/** What a certificate says; nothing is verified yet. Times are milliseconds since 1970. */
export interface CertificateInfo {
  subject: Subject;
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

/** What the signature does not cover, and `X509Certificate` therefore takes in several spellings. */
function checkEnvelope(der: Uint8Array<ArrayBuffer>): void {
  const parts = readElements(readElement(der, TAG.sequence).body);
  const [body, algorithm, signature] = parts;
  expectTag(body, TAG.sequence);
  const signsAsWeDo = algorithm?.raw.toHex() === ECDSA_WITH_SHA256.toHex();
  if (!signsAsWeDo || parts.length !== 3 || expectTag(signature, TAG.bitString).body[0] !== 0) {
    throw new CoveyError("invalid_argument", "it is not signed with ECDSA and SHA-256");
  }
}

function publicKeyOfCertificate(x509: X509Certificate): Uint8Array<ArrayBuffer> {
  return assertP256(new Uint8Array(x509.publicKey.export({ type: "spki", format: "der" })));
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
