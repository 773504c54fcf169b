import type { NodeDescription } from "../api/node.ts";
import { readCertificate } from "./certificate.ts";
import { encodeName } from "./x509_names.ts";

/** The root as the Engine API shows it (`TLSInfo`): PEM, then base64 of the DER of its subject and its key. */
export function rootTLSInfo(rootCAPEM: string): NonNullable<NodeDescription["TLSInfo"]> {
  const { subject, publicKey } = readCertificate(rootCAPEM);
  return {
    TrustRoot: rootCAPEM,
    CertIssuerSubject: encodeName(subject).toBase64(),
    CertIssuerPublicKey: publicKey.toBase64(),
  };
}
