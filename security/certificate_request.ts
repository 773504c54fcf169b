/** Certificate signing requests (PKCS#10, RFC 2986). */
import { CoveyError } from "../api/errors.ts";
import { expectTag, readElement, readElements } from "./der_reader.ts";
import { bitString, contextTag, element, integer, sequence, TAG } from "./der_writer.ts";
import { assertP256, publicKeyOf, signDER, verifyDER } from "./key_pair.ts";
import { decodeSinglePEM, encodePEM } from "./pem.ts";
import { ECDSA_WITH_SHA256, encodeName, type Subject } from "./x509_names.ts";

/** Longest request read, PEM characters: ours have about 400, other tools' with attributes under 2,000. */
export const MAX_CSR_LENGTH = 8192;

/** Makes a request for the public half of `privateKeyPEM`. The CA ignores `subject`; it is for other tools. */
export async function createCertificateRequest(
  privateKeyPEM: string,
  subject: Subject = {},
): Promise<string> {
  const info = sequence(
    integer(Uint8Array.of(0)),
    encodeName(subject),
    publicKeyOf(privateKeyPEM),
    element(contextTag(0, true)),
  );
  const signature = bitString(await signDER(privateKeyPEM, info));
  return encodePEM("CERTIFICATE REQUEST", sequence(info, ECDSA_WITH_SHA256, signature));
}

/**
 * The public key (DER SubjectPublicKeyInfo) of a request whose signature proves that the sender owns the
 * private half. Anything else is an `invalid_argument` error.
 */
export function readCertificateRequest(pem: string): Uint8Array<ArrayBuffer> {
  if (pem.length > MAX_CSR_LENGTH) {
    refuse(`it has ${pem.length} characters, at most ${MAX_CSR_LENGTH} are allowed`);
  }
  const parts = splitRequest(decodeSinglePEM("CERTIFICATE REQUEST", pem));
  if (!verifyDER(parts.publicKey, parts.info, parts.signature)) {
    refuse("its signature does not match its key");
  }
  return parts.publicKey;
}

function splitRequest(der: Uint8Array<ArrayBuffer>) {
  const outer = readElements(readElement(der, TAG.sequence).body);
  const info = expectTag(outer[0], TAG.sequence);
  const inner = readElements(info.body);
  const signature = expectTag(outer[2], TAG.bitString).body;
  if (outer.length !== 3 || inner.length !== 4 || signature[0] !== 0) refuse("its structure is not PKCS#10");
  expectTag(inner[0], TAG.integer);
  if (expectTag(outer[1], TAG.sequence).raw.toHex() !== ECDSA_WITH_SHA256.toHex()) {
    refuse("it is not signed with ECDSA and SHA-256");
  }
  const publicKey = assertP256(expectTag(inner[2], TAG.sequence).raw);
  return { info: info.raw, publicKey, signature: signature.subarray(1) };
}

function refuse(why: string): never {
  throw new CoveyError("invalid_argument", `Cannot accept certificate request: ${why}`);
}
