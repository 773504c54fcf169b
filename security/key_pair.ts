/** P-256 keys: made and used for signing with WebCrypto, compared and verified with `node:crypto`. */
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, createPublicKey, verify } from "node:crypto";
import { CoveyError } from "../api/errors.ts";
import { concatBytes, integer, sequence } from "./der_writer.ts";
import { decodeSinglePEM, encodePEM } from "./pem.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };

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

/** SHA-256 of a DER public key in hexadecimal (`Node.Certificate.PublicKeyDigest`). */
export function publicKeyDigest(publicKey: Uint8Array): string {
  return createHash("sha256").update(publicKey).digest("hex");
}

/** Signs `data` with ECDSA and SHA-256. The signature is DER. */
export async function signDER(privateKeyPEM: string, data: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const der = decodeSinglePEM("PRIVATE KEY", privateKeyPEM);
  const key = await crypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
  const raw = new Uint8Array(await crypto.subtle.sign(SIGNATURE, key, data));
  return sequence(integer(raw.subarray(0, 32)), integer(raw.subarray(32)));
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

/** The subject key identifier of RFC 5280 4.2.1.2 (1): SHA-1 of the point. */
export function keyIdentifier(publicKey: Uint8Array<ArrayBuffer>): Uint8Array {
  const point = concatBytes(Uint8Array.of(4), assertP256(publicKey).subarray(P256_PUBLIC_KEY_PREFIX.length));
  return createHash("sha1").update(point).digest();
}
