/**
 * Secrets that a client seals for devices, so that managers hold what they cannot read.
 *
 * A data key of 32 random bytes encrypts the secret (AES-256-GCM). For each device it is wrapped by a key that is agreed
 * between a key pair made for this one wrap and the device's certified key (ECDH on P-256, then HKDF with SHA-256):
 *
 *     wrapped = public point (65 bytes) | nonce (12) | encrypted data key and tag (48)
 *
 * The seal's ID goes into both as additional data, so that no part can be put beside another secret's.
 */

const CURVE = { name: "ECDH", namedCurve: "P-256" };
const CIPHER = "AES-GCM";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const POINT_BYTES = 65;
const SECRET_BITS = 256;
const SEAL_ID_BYTES = 16;
const encoder = new TextEncoder();
const INFO = encoder.encode("covey sealed secret 1");

type Bytes = Uint8Array<ArrayBuffer>;

/** A secret as it is sealed, and the key that opens it. */
export interface SealedSecret {
  /** Hexadecimal. */
  id: string;
  cipher: Bytes;
  dataKey: Bytes;
}

/** Encrypts `bytes` with a data key of its own. */
export async function sealSecret(bytes: Bytes): Promise<SealedSecret> {
  const id = crypto.getRandomValues(new Uint8Array(SEAL_ID_BYTES)).toHex();
  const dataKey = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  return { id, dataKey, cipher: await encrypt(await cipherKey(dataKey), bytes, id) };
}

/** What {@linkcode sealSecret} was given; undefined for another key or ID, and for damaged bytes. */
export async function openSecret(id: string, cipher: Bytes, dataKey: Bytes): Promise<Bytes | undefined> {
  return await decrypt(await cipherKey(dataKey), cipher, id);
}

/** The data key for whoever has the private half of `publicKey` (DER SubjectPublicKeyInfo). Rejects for what is no such key. */
export async function wrapFor(id: string, dataKey: Bytes, publicKey: Bytes): Promise<Bytes> {
  const recipient = await crypto.subtle.importKey("spki", publicKey, CURVE, true, []);
  const pair = await crypto.subtle.generateKey(CURVE, true, ["deriveBits"]) as CryptoKeyPair;
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const kek = await agreedKey(pair.privateKey, recipient, point);
  return joined(point, await encrypt(kek, dataKey, id));
}

/** The data key; undefined if it was wrapped for another than `privateKey` (DER PKCS#8), and for damaged bytes. */
export async function unwrap(id: string, wrapped: Bytes, privateKey: Bytes): Promise<Bytes | undefined> {
  try {
    const point = wrapped.slice(0, POINT_BYTES);
    const sender = await crypto.subtle.importKey("raw", point, CURVE, true, []);
    const own = await crypto.subtle.importKey("pkcs8", privateKey, CURVE, false, ["deriveBits"]);
    return await decrypt(await agreedKey(own, sender, point), wrapped.slice(POINT_BYTES), id);
  } catch {
    return undefined;
  }
}

/** SHA-256 of a public key in hexadecimal, as a node's certificate is known by. */
export async function digestOf(publicKey: Bytes): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", publicKey)).toHex();
}

async function agreedKey(own: CryptoKey, other: CryptoKey, salt: Bytes): Promise<CryptoKey> {
  const secret = await crypto.subtle.deriveBits({ name: CURVE.name, public: other }, own, SECRET_BITS);
  const material = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const derivation = { name: "HKDF", hash: "SHA-256", salt, info: INFO };
  return await cipherKey(new Uint8Array(await crypto.subtle.deriveBits(derivation, material, 8 * KEY_BYTES)));
}

async function cipherKey(raw: Bytes): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", raw, CIPHER, false, ["encrypt", "decrypt"]);
}

async function encrypt(key: CryptoKey, bytes: Bytes, id: string): Promise<Bytes> {
  const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const parameters = { name: CIPHER, iv, additionalData: encoder.encode(id) };
  return joined(iv, new Uint8Array(await crypto.subtle.encrypt(parameters, key, bytes)));
}

async function decrypt(key: CryptoKey, bytes: Bytes, id: string): Promise<Bytes | undefined> {
  const iv = bytes.slice(0, NONCE_BYTES), additionalData = encoder.encode(id);
  try {
    const plain = await crypto.subtle.decrypt(
      { name: CIPHER, iv, additionalData },
      key,
      bytes.slice(NONCE_BYTES),
    );
    return new Uint8Array(plain);
  } catch {
    return undefined;
  }
}

function joined(a: Bytes, b: Bytes): Bytes {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
