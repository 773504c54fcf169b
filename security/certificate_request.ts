/** Certificate signing requests (PKCS#10, RFC 2986). */
import { Buffer } from "node:buffer";
import { CoveyError } from "../api/errors.ts";
import { DER } from "./der.ts";
import { assertP256, publicKeyOf, signDER, verifyDER } from "./key_pair.ts";
import { decodeSinglePEM, encodePEM } from "./pem.ts";
import { ECDSA_WITH_SHA256, nameOf, type Subject } from "./x509_names.ts";

/** Longest request read, PEM characters: ours have about 400, other tools' with attributes under 2,000. */
export const MAX_CSR_LENGTH = 8192;

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
const VERSION_0 = Uint8Array.of(0x02, 1, 0);
const EMPTY_NAME = Uint8Array.of(SEQUENCE, 0);
const NO_ATTRIBUTES = Uint8Array.of(0xa0, 0);

/** Makes a request for the public half of `privateKeyPEM`. The CA ignores `subject`; it is for other tools. */
export async function createCertificateRequest(
  privateKeyPEM: string,
  subject: Subject = {},
): Promise<string> {
  if (Object.keys(subject).length === 0) return namelessRequest(privateKeyPEM);
  const der = await DER.load();
  const publicKey = der.decode(publicKeyOf(privateKeyPEM));
  const info = der.sequence(der.integer(0), nameOf(der, subject), publicKey, der.context(0, []));
  const signature = der.bitString(signDER(privateKeyPEM, der.encode(info)));
  const request = der.sequence(info, der.decode(ECDSA_WITH_SHA256), signature);
  return encodePEM("CERTIFICATE REQUEST", der.encode(request));
}

/** A request without a name has one layout, so that a device that joins or renews needs no ASN.1 module. */
function namelessRequest(privateKeyPEM: string): string {
  const publicKey = assertP256(publicKeyOf(privateKeyPEM));
  const info = element(SEQUENCE, VERSION_0, EMPTY_NAME, publicKey, NO_ATTRIBUTES);
  const signature = element(BIT_STRING, Uint8Array.of(0), signDER(privateKeyPEM, info));
  return encodePEM("CERTIFICATE REQUEST", element(SEQUENCE, info, ECDSA_WITH_SHA256, signature));
}

/** DER of an element of at most 255 bytes; a request for a P-256 key has about 190. */
function element(tag: number, ...contents: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  const head = length < 0x80 ? [tag, length] : [tag, 0x81, length];
  return Uint8Array.from([...head, ...contents.flatMap((part) => [...part])]);
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
