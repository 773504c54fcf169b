/**
 * Seals what a manager keeps: ChaCha20-Poly1305 (RFC 8439), which is fast without instructions of its own, in the caller's
 * turn, because a commit must not wait for another thread (docs/decisions/0100-data-at-rest.md).
 * Sealed bytes are a nonce of 12 bytes, ciphertext, then a tag of 16; what they belong to goes in as additional data, so
 * that nothing can be put in the place of something else.
 */
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";

const CIPHER = "chacha20-poly1305";
/** Bytes of a key. */
export const KEY_BYTES = 32;
const RANDOM_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** How much longer sealed bytes are. */
const SEAL_BYTES = NONCE_BYTES + TAG_BYTES;
const MAX_COUNT = 2 ** 32;
/** Bytes of {@linkcode DataCipher.id}. */
export const KEY_ID_BYTES = 4;

const encoder = new TextEncoder();

/** A new random key. */
export function newKey(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(KEY_BYTES));
}

/** Seals and unseals with one key. */
export class DataCipher {
  readonly key: Uint8Array;
  /** Tells keys apart, and says nothing of the key. */
  readonly id: number;
  /**
   * Half random, half counted: drawn at random for each message, nonces of one key would be likely to meet after some
   * billions of records.
   */
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  #count = MAX_COUNT;

  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw new RangeError(`Cannot use a key of ${key.length} bytes`);
    this.key = key;
    this.id = createHash("sha256").update("covey key id").update(key).digest().readUInt32BE(0);
  }

  /** Seals `bytes`, which can be unsealed with the same key and `context` only. */
  seal(bytes: Uint8Array, context: string): Uint8Array<ArrayBuffer> {
    const nonce = this.#nextNonce();
    const cipher = createCipheriv(CIPHER, this.key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(encoder.encode(context), { plaintextLength: bytes.length });
    const sealed = new Uint8Array(bytes.length + SEAL_BYTES);
    sealed.set(nonce);
    sealed.set(cipher.update(bytes), NONCE_BYTES);
    cipher.final();
    sealed.set(cipher.getAuthTag(), sealed.length - TAG_BYTES);
    return sealed;
  }

  /** What {@linkcode seal} was given; undefined for another key or context, and for damaged bytes. */
  unseal(sealed: Uint8Array, context: string): Uint8Array<ArrayBuffer> | undefined {
    if (sealed.length < SEAL_BYTES) return undefined;
    const decipher = createDecipheriv(CIPHER, this.key, sealed.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(encoder.encode(context), { plaintextLength: sealed.length - SEAL_BYTES });
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const bytes = new Uint8Array(decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)));
    try {
      decipher.final();
      return bytes;
    } catch {
      return undefined;
    }
  }

  #nextNonce(): Uint8Array {
    if (this.#count === MAX_COUNT) {
      crypto.getRandomValues(this.#nonce.subarray(0, RANDOM_BYTES));
      this.#count = 0;
    }
    new DataView(this.#nonce.buffer).setUint32(RANDOM_BYTES, this.#count++);
    return this.#nonce;
  }
}
