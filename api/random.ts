/** Randomness as it is handed to every component. */

/** A source of random numbers. */
export interface Random {
  /** `length` random bytes; cryptographic in production. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1). */
  float(): number;
}

/** Bytes fetched at once for short requests, most of which are for the 16 bytes of an ID. */
const POOL_BYTES = 1024;
const MAX_POOLED_BYTES = 32;
const pool = new Uint8Array(POOL_BYTES);
let taken = POOL_BYTES;

/** What was handed out is nowhere else afterwards. */
function pooledBytes(length: number): Uint8Array {
  if (taken + length > POOL_BYTES) {
    crypto.getRandomValues(pool);
    taken = 0;
  }
  const bytes = pool.slice(taken, taken + length);
  pool.fill(0, taken, taken + length);
  taken += length;
  return bytes;
}

/** The machine's cryptographic randomness. */
export const systemRandom: Random = {
  bytes: (length) =>
    length <= MAX_POOLED_BYTES ? pooledBytes(length) : crypto.getRandomValues(new Uint8Array(length)),
  float: () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32,
};

/** Characters of an object's ID. */
const ID_LENGTH = 25;

/** Big-endian bytes as base 36 with leading zeros, cut to or padded to `length` characters. */
export function base36(bytes: Uint8Array, length: number): string {
  return BigInt(`0x${bytes.toHex()}`).toString(36).padStart(length, "0").slice(-length);
}

/** A new object ID: 25 characters of base 36 holding 128 random bits (SwarmKit `identity.NewID`). */
export function newID(random: Random): string {
  return base36(random.bytes(16), ID_LENGTH);
}
