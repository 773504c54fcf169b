import type { NodeDescription } from "../api/node.ts";
import { type CertificateInfo, issuerOf, readCertificate, readCertificates } from "./certificate.ts";
import type { IdentityFiles } from "./node_identity.ts";

/**
 * The root as the Engine API shows it (`TLSInfo`): PEM, then base64 of the DER of the subject and key of the one that issues,
 * which is another one while the root is replaced.
 */
export function rootTLSInfo(
  rootCAPEM: string,
  issuerPEM = rootCAPEM,
): NonNullable<NodeDescription["TLSInfo"]> {
  const { subjectDER, publicKey } = readCertificate(issuerPEM);
  return {
    TrustRoot: rootCAPEM,
    CertIssuerSubject: subjectDER.toBase64(),
    CertIssuerPublicKey: publicKey.toBase64(),
  };
}

/** SHA-256 of the public key of who issued a node's certificate, hexadecimal; undefined if its chain does not say. */
export function issuerDigestOf(
  identity: Pick<IdentityFiles, "rootCAPEM" | "certificateChainPEM">,
): string | undefined {
  return issuerOfNode(identity)?.publicKeyDigest;
}

/** The same of a node: the root that it trusts, and who issued its certificate. */
export function nodeTLSInfo(
  identity: Pick<IdentityFiles, "rootCAPEM" | "certificateChainPEM">,
): NonNullable<NodeDescription["TLSInfo"]> {
  return rootTLSInfo(identity.rootCAPEM, issuerOfNode(identity)?.pem);
}

function issuerOfNode(
  { rootCAPEM, certificateChainPEM }: Pick<IdentityFiles, "rootCAPEM" | "certificateChainPEM">,
): CertificateInfo | undefined {
  const [own, ...more] = readCertificates(certificateChainPEM);
  return own && issuerOf(own, [readCertificate(rootCAPEM), ...more]);
}
