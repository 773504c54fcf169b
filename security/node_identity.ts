/** A node's own identity: its certificate, its key and the root it trusts. */
import type { CertificateIdentity } from "../api/ca.ts";
import { CoveyError } from "../api/errors.ts";
import { readCertificate } from "./certificate.ts";
import { publicKeyDigest, publicKeyOf } from "./key_pair.ts";
import { verifyChainSignatures } from "./verify_peer_chain.ts";

/** What a node keeps on disk. */
export interface IdentityFiles {
  /** The pinned root, PEM. */
  rootCAPEM: string;
  /** The node's certificate first, then what leads to the root. */
  certificateChainPEM: string;
  /** PKCS#8 in PEM. Never log it. */
  privateKeyPEM: string;
}

/** A node's identity, whose parts belong together. Times are milliseconds since 1970. */
export interface NodeIdentity extends IdentityFiles, CertificateIdentity {
  notBefore: number;
  notAfter: number;
}

/** Puts an identity together; `data_loss` when key, certificate and root do not belong together. No dates. */
export function assembleIdentity(files: IdentityFiles): NodeIdentity {
  try {
    const { identity } = verifyChainSignatures(files.certificateChainPEM, [files.rootCAPEM]);
    const { notBefore, notAfter, publicKeyDigest: certified } = readCertificate(identity.certificatePEM);
    if (certified !== publicKeyDigest(publicKeyOf(files.privateKeyPEM))) {
      throw new CoveyError("data_loss", "Cannot use node key: the certificate was issued for another key");
    }
    return { ...files, ...identity, notBefore, notAfter };
  } catch (cause) {
    throw new CoveyError("data_loss", CoveyError.from(cause).message, { cause });
  }
}
