/** P-256 keys: made with WebCrypto, used with `node:crypto`, which spells signatures in DER. */
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { CoveyError } from "../api/errors.ts";
import { encodePEM } from "./pem.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };

/** What every uncompressed P-256 SubjectPublicKeyInfo starts with; the 64 bytes of the point follow. */
const P256_PUBLIC_KEY_PREFIX = Uint8Array.fromHex("3059301306072a8648ce3d020106082a8648ce3d03010703420004");
const P256_POINT_LENGTH = 64;

/** Makes a new private key: PKCS#8 in PEM. */
export async function createPrivateKeyPEM(): Promise<string> {
  const { privateKey } = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  return encodePEM("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey)));
}

/** The public half of a private key, as DER SubjectPublicKeyInfo. */
export function publicKeyOf(privateKeyPEM: string): Uint8Array<ArrayBuffer> {
  try {
    const key = createPublicKey(createPrivateKey(privateKeyPEM)).export({ type: "spki", format: "der" });
    return assertP256(new Uint8Array(key));
  } catch (cause) {
    throw new CoveyError("data_loss", "Cannot read private key: it is not a P-256 key in PKCS#8 PEM", {
      cause,
    });
  }
}

/** `publicKey` unchanged if it is an uncompressed P-256 SubjectPublicKeyInfo; whether the point is on the curve
 * is checked by whoever verifies with it. */
export function assertP256(publicKey: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const fits = publicKey.length === P256_PUBLIC_KEY_PREFIX.length + P256_POINT_LENGTH &&
    P256_PUBLIC_KEY_PREFIX.every((byte, at) => publicKey[at] === byte);
  if (fits) return publicKey;
  throw new CoveyError("invalid_argument", "Cannot use public key: it is not an uncompressed P-256 key");
}

/** What a SubjectPublicKeyInfo of an RSA key starts with, its two lengths left out; the modulus follows. */
const RSA_ALGORITHM = Uint8Array.fromHex("300d06092a864886f70d0101010500");
/** Where the key itself begins: two lengths of two bytes before and behind the algorithm, and no unused bits. */
const RSA_KEY_AT = 4 + RSA_ALGORITHM.length + 5;
/** Bits of an RSA key: SwarmKit's minimum, and what a device's handshake bears. */
const MIN_RSA_BITS = 2048, MAX_RSA_BITS = 4096;

/** `publicKey` unchanged if a certificate authority may have it: P-256, or RSA of 2048 to 4096 bits. */
export function assertSupported(publicKey: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (!isRSA(publicKey)) return assertP256(publicKey);
  const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS) return publicKey;
  throw new CoveyError(
    "invalid_argument",
    `Cannot use public key: it is an RSA key of ${bits} bits, ${MIN_RSA_BITS} to ${MAX_RSA_BITS} are supported`,
  );
}

/** Whether this is an RSA key's SubjectPublicKeyInfo. */
export function isRSA(publicKey: Uint8Array): boolean {
  return RSA_ALGORITHM.every((byte, at) => publicKey[4 + at] === byte);
}

/** SHA-256 of a DER public key in hexadecimal (`Node.Certificate.PublicKeyDigest`). */
export function publicKeyDigest(publicKey: Uint8Array): string {
  return createHash("sha256").update(publicKey).digest("hex");
}

/** Signs `data` with SHA-256 and ECDSA, or RSA (PKCS#1) if that is what the key is for. The signature is as certificates have it. */
export function signDER(privateKeyPEM: string, data: Uint8Array): Uint8Array {
  return sign("sha256", data, privateKeyPEM);
}

/** Whether `signature` (DER) over `data` was made with the private half of `publicKey`. Never throws. */
export function verifyDER(
  publicKey: Uint8Array<ArrayBuffer>,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(assertP256(publicKey)), format: "der", type: "spki" });
    return verify("sha256", data, key, signature);
  } catch {
    return false;
  }
}

/** The subject key identifier of RFC 5280 4.2.1.2 (1): SHA-1 of the point, or of an RSA key. */
export function keyIdentifier(publicKey: Uint8Array<ArrayBuffer>): Uint8Array {
  const key = isRSA(publicKey)
    ? publicKey.subarray(RSA_KEY_AT)
    : assertP256(publicKey).subarray(P256_PUBLIC_KEY_PREFIX.length - 1); // with its 04 in front
  return createHash("sha1").update(key).digest();
}
