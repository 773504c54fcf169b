import type { NodeDescription } from "../api/node.ts";
import { readCertificate } from "./certificate.ts";

/** DER of the name that every root bears, `CN=swarm-ca`: a constant, so that an agent needs no ASN.1 for it. */
const ROOT_SUBJECT = Uint8Array.fromHex("30133111300f06035504030c08737761726d2d6361");

/** The root as the Engine API shows it (`TLSInfo`): PEM, then base64 of the DER of its subject and its key. */
export function rootTLSInfo(rootCAPEM: string): NonNullable<NodeDescription["TLSInfo"]> {
  return {
    TrustRoot: rootCAPEM,
    CertIssuerSubject: ROOT_SUBJECT.toBase64(),
    CertIssuerPublicKey: readCertificate(rootCAPEM).publicKey.toBase64(),
  };
}
