/**
 * Seals what a device keeps, so that only who has the device's private key can read it.
 *
 * A data key of 32 random bytes seals the records (AES-256-GCM); it is itself sealed with a key that is derived from the
 * private key (HKDF with SHA-256). A renewed private key costs one small write: the data key is sealed anew. Sealed bytes
 * are a nonce of 12 bytes, then ciphertext and tag; what they belong to goes in as additional data, so that no record can
 * be put in the place of another.
 */
import { decodeSinglePEM } from "./pem.ts";

const NONCE_BYTES = 12;
const KEY_BYTES = 32;
const CIPHER = "AES-GCM";
const encoder = new TextEncoder();
const DERIVATION = {
  name: "HKDF",
  hash: "SHA-256",
  salt: encoder.encode("covey"),
  info: encoder.encode("agent state 1"),
};
const KEY_CONTEXT = "data key";

/** A key that seals and unseals. */
export type SealKey = CryptoKey;

/** The key that the device's private key (PKCS#8 in PEM) stands for. */
async function deviceKey(privateKeyPEM: string): Promise<SealKey> {
  const der = decodeSinglePEM("PRIVATE KEY", privateKeyPEM);
  const material = await crypto.subtle.importKey("raw", der, "HKDF", false, ["deriveKey"]);
  const algorithm = { name: CIPHER, length: 8 * KEY_BYTES };
  return await crypto.subtle.deriveKey(DERIVATION, material, algorithm, false, ["encrypt", "decrypt"]);
}

/** A new data key. */
export async function newDataKey(): Promise<SealKey> {
  const algorithm = { name: CIPHER, length: 8 * KEY_BYTES };
  return await crypto.subtle.generateKey(algorithm, true, ["encrypt", "decrypt"]) as CryptoKey;
}

/** The data key, sealed for the device with this private key. */
export async function sealDataKey(key: SealKey, privateKeyPEM: string): Promise<Uint8Array<ArrayBuffer>> {
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", key));
  return await seal(await deviceKey(privateKeyPEM), raw, KEY_CONTEXT);
}

/** The data key; undefined if it was sealed for another private key, or the bytes are damaged. */
export async function unsealDataKey(
  sealed: Uint8Array<ArrayBuffer>,
  privateKeyPEM: string,
): Promise<SealKey | undefined> {
  const raw = await unseal(await deviceKey(privateKeyPEM), sealed, KEY_CONTEXT);
  return raw && await crypto.subtle.importKey("raw", raw, CIPHER, true, ["encrypt", "decrypt"]);
}

/** Seals `bytes`, which can be unsealed with the same key and `context` only. */
export async function seal(
  key: SealKey,
  bytes: Uint8Array<ArrayBuffer>,
  context: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const additionalData = encoder.encode(context);
  const cipher = await crypto.subtle.encrypt({ name: CIPHER, iv, additionalData }, key, bytes);
  const sealed = new Uint8Array(NONCE_BYTES + cipher.byteLength);
  sealed.set(iv);
  sealed.set(new Uint8Array(cipher), NONCE_BYTES);
  return sealed;
}

/** What {@linkcode seal} was given; undefined for another key or context, and for damaged bytes. */
export async function unseal(
  key: SealKey,
  sealed: Uint8Array<ArrayBuffer>,
  context: string,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const iv = sealed.subarray(0, NONCE_BYTES), additionalData = encoder.encode(context);
  try {
    return new Uint8Array(
      await crypto.subtle.decrypt({ name: CIPHER, iv, additionalData }, key, sealed.subarray(NONCE_BYTES)),
    );
  } catch {
    return undefined;
  }
}
