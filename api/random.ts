/** Randomness as it is handed to every component. */

/** A source of random numbers. */
export interface Random {
  /** `length` random bytes; cryptographic in production. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1). */
  float(): number;
}

/** The machine's cryptographic randomness. */
export const systemRandom: Random = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
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
