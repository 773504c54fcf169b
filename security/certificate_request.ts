/** Certificate signing requests (PKCS#10, RFC 2986). */
import { Buffer } from "node:buffer";
import { CoveyError } from "../api/errors.ts";
import { DER } from "./der.ts";
import { assertP256, publicKeyOf, signDER, verifyDER } from "./key_pair.ts";
import { decodeSinglePEM, encodePEM } from "./pem.ts";
import { ECDSA_WITH_SHA256, nameOf, type Subject } from "./x509_names.ts";

/** Longest request read, PEM characters: ours have about 400, other tools' with attributes under 2,000. */
export const MAX_CSR_LENGTH = 8192;

/** Makes a request for the public half of `privateKeyPEM`. The CA ignores `subject`; it is for other tools. */
export async function createCertificateRequest(
  privateKeyPEM: string,
  subject: Subject = {},
): Promise<string> {
  const der = await DER.load();
  const publicKey = der.decode(publicKeyOf(privateKeyPEM));
  const info = der.sequence(der.integer(0), nameOf(der, subject), publicKey, der.context(0, []));
  const signature = der.bitString(signDER(privateKeyPEM, der.encode(info)));
  const request = der.sequence(info, der.decode(ECDSA_WITH_SHA256), signature);
  return encodePEM("CERTIFICATE REQUEST", der.encode(request));
}

/**
 * The public key (DER SubjectPublicKeyInfo) of a request whose signature proves that the sender owns the
 * private half. Anything else is an `invalid_argument` error.
 */
export async function readCertificateRequest(pem: string): Promise<Uint8Array<ArrayBuffer>> {
  if (pem.length > MAX_CSR_LENGTH) {
    refuse(`it has ${pem.length} characters, at most ${MAX_CSR_LENGTH} are allowed`);
  }
  const request = decodeSinglePEM("CERTIFICATE REQUEST", pem);
  const { info, publicKey, signature } = splitRequest(await DER.load(), request);
  if (!verifyDER(publicKey, info, signature)) refuse("its signature does not match its key");
  return publicKey;
}

function splitRequest(der: DER, request: Uint8Array) {
  const outer = der.elements(der.decode(request));
  const [info, algorithm, signature] = outer;
  const inner = der.elements(info);
  if (outer.length !== 3 || inner.length !== 4) refuse("its structure is not PKCS#10");
  if (Buffer.compare(der.encode(algorithm!), ECDSA_WITH_SHA256) !== 0) {
    refuse("it is not signed with ECDSA and SHA-256");
  }
  const publicKey = assertP256(der.encode(inner[2]!));
  return { info: der.encode(info!), publicKey, signature: der.bitStringBytes(signature) };
}

function refuse(why: string): never {
  throw new CoveyError("invalid_argument", `Cannot accept certificate request: ${why}`);
}
