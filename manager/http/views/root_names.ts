/** Subject and public key of the root certificate, as clients show them. */
import { readElement, readElements } from "../../../security/der_reader.ts";
import { TAG } from "../../../security/der_writer.ts";
import { readCertificate } from "../../../security/mod.ts";

/** Places in a certificate's body (RFC 5280 `TBSCertificate`, with its version given). */
const SUBJECT = 5;
const PUBLIC_KEY = 6;

/** Base64 of the DER of the root's subject and key; nothing for a root that cannot be read. */
export function rootNames(pem: string): { CertIssuerSubject?: string; CertIssuerPublicKey?: string } {
  try {
    const [body] = readElements(readElement(readCertificate(pem).der, TAG.sequence).body);
    const fields = readElements(body!.body);
    return {
      CertIssuerSubject: fields[SUBJECT]!.raw.toBase64(),
      CertIssuerPublicKey: fields[PUBLIC_KEY]!.raw.toBase64(),
    };
  } catch {
    return {};
  }
}
