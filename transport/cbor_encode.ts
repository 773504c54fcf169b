/** Plain data as CBOR (RFC 8949): the shortest heads, definite lengths, text keys in the object's order, no tags. */
import { CoveyError } from "../api/errors.ts";
import { MAX_VALUE_DEPTH } from "./limits.ts";

const MAX_INTEGER = 2n ** 64n - 1n;
const MIN_INTEGER = -(2n ** 63n);

/** Longest head of a value: its major type and eight bytes. */
const HEAD_BYTES = 9;
/** UTF-8 bytes of a UTF-16 unit at most. */
const UNIT_BYTES = 3;
/** Several frames share one allocation of this size; it is all that an idle process keeps. */
const POOL_BYTES = 8 * 1024;
/** Longer ones are encoded each time: a secret's spec, which is no other object's, holds 500 KB. */
const MAX_KEPT_BYTES = 16 * 1024;
const NO_FIELDS: ReadonlySet<string> = new Set();
/** Shorter text is written unit by unit: calling the platform's encoder costs more. */
const SHORT_TEXT = 64;

const utf8 = new TextEncoder();

function refuse(what: string): never {
  throw new CoveyError("invalid_argument", `Cannot encode message: ${what}`);
}

/** What a {@linkcode CBORWriter} puts up with. */
export interface CBORWriterRules {
  /**
   * Refuse also what a `CBORReader` would give back otherwise than it was: bigints, which may come back as numbers, and
   * half a surrogate pair, which becomes U+FFFD.
   */
  exact: boolean;
  /**
   * Fields whose value many objects have in common, the same object each time, which nobody ever changes: its bytes are
   * kept as long as it lives.
   */
  shared?: ReadonlySet<string>;
}

/** Bytes of a shared value, which are good for as many levels around it, or fewer. */
interface KeptBytes {
  bytes: Uint8Array;
  depth: number;
}

/** Bytes of a head with this argument. */
function headBytes(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x10000) return 3;
  return argument < 0x100000000 ? 5 : HEAD_BYTES;
}

/** Writes one value after another; several share an allocation, and nothing of it is ever changed again. */
export class CBORWriter {
  readonly #exact: boolean;
  readonly #shared: ReadonlySet<string>;
  readonly #kept = new WeakMap<object, KeptBytes>();
  #pool = new Uint8Array(POOL_BYTES);
  #view = new DataView(this.#pool.buffer);
  #start = 0;
  #at = 0;

  constructor({ exact, shared = NO_FIELDS }: CBORWriterRules) {
    this.#exact = exact;
    this.#shared = shared;
  }

  /**
   * The bytes of `value`, which is to stand `depth` levels deep in another. Throws `invalid_argument` for what has no plain
   * form (functions, dates, maps, class instances), a field named `__proto__`, and nesting, and so cycles, beyond the limit.
   */
  encode(value: unknown, depth = 0): Uint8Array {
    this.#start = this.#at;
    try {
      this.#value(value, depth);
      return this.#pool.subarray(this.#start, this.#at);
    } catch (error) {
      this.#at = this.#start;
      throw error;
    } finally {
      // Whoever holds the large one keeps it no longer than the frame.
      if (this.#pool.length > POOL_BYTES) this.#use(new Uint8Array(POOL_BYTES), 0);
    }
  }

  #use(pool: Uint8Array<ArrayBuffer>, at: number): void {
    this.#pool = pool;
    this.#view = new DataView(pool.buffer);
    this.#start = 0;
    this.#at = at;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#pool.length) return;
    const written = this.#pool.subarray(this.#start, this.#at);
    const wanted = written.length + bytes;
    const pool = new Uint8Array(wanted <= POOL_BYTES ? POOL_BYTES : 2 * wanted);
    pool.set(written);
    this.#use(pool, written.length);
  }

  #value(value: unknown, depth: number): void {
    this.#reserve(HEAD_BYTES);
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "object":
        return value === null ? this.#byte(0xf6) : this.#object(value, depth);
      case "boolean":
        return this.#byte(value ? 0xf5 : 0xf4);
      case "undefined":
        return this.#byte(0xf7);
      case "bigint":
        return this.#bigint(value);
      default:
        refuse(`a ${typeof value} is no data`);
    }
  }

  #object(value: object, depth: number): void {
    if (depth >= MAX_VALUE_DEPTH) refuse(`nested deeper than ${MAX_VALUE_DEPTH}`);
    if (Array.isArray(value)) {
      this.#head(0x80, value.length);
      for (let i = 0; i < value.length; i++) this.#value(value[i], depth + 1);
      return;
    }
    if (value instanceof Uint8Array) {
      this.#reserve(HEAD_BYTES + value.length);
      this.#head(0x40, value.length);
      this.#pool.set(value, this.#at);
      this.#at += value.length;
      return;
    }
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      refuse(`a ${value.constructor?.name ?? "object without class"} is no plain data`);
    }
    this.#map(value as Record<string, unknown>, depth);
  }

  #map(record: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(record);
    let count = keys.length;
    for (const key of keys) if (record[key] === undefined) count--;
    this.#head(0xa0, count);
    for (const key of keys) {
      if (key === "__proto__") refuse('a field is named "__proto__"');
      const value = record[key];
      if (value === undefined) continue;
      this.#text(key);
      if (typeof value === "object" && value !== null && this.#shared.has(key)) {
        this.#sharedValue(value, depth + 1);
      } else this.#value(value, depth + 1);
    }
  }

  #sharedValue(value: object, depth: number): void {
    const known = this.#kept.get(value);
    if (known !== undefined && known.depth >= depth) {
      this.#reserve(known.bytes.length);
      this.#pool.set(known.bytes, this.#at);
      this.#at += known.bytes.length;
      return;
    }
    const offset = this.#at - this.#start;
    this.#value(value, depth);
    const bytes = this.#pool.slice(this.#start + offset, this.#at);
    if (bytes.length <= MAX_KEPT_BYTES) this.#kept.set(value, { bytes, depth });
  }

  #number(value: number): void {
    if (value >>> 0 === value) return this.#head(0, value);
    if (value < 0 && value >= -0x100000000 && Math.floor(value) === value) {
      return this.#head(0x20, -1 - value);
    }
    this.#pool[this.#at] = 0xfb;
    this.#view.setFloat64(this.#at + 1, value);
    this.#at += 9;
  }

  #bigint(value: bigint): void {
    if (this.#exact) refuse("a bigint is no data");
    if (value > MAX_INTEGER || value < MIN_INTEGER) refuse("an integer has more than 64 bits");
    this.#pool[this.#at] = value < 0n ? 0x3b : 0x1b;
    this.#view.setBigUint64(this.#at + 1, value < 0n ? -1n - value : value);
    this.#at += 9;
  }

  #text(text: string): void {
    const units = text.length;
    this.#reserve(HEAD_BYTES + units * UNIT_BYTES);
    const guess = headBytes(units), start = this.#at + guess, pool = this.#pool;
    let end = start;
    if (units < SHORT_TEXT) {
      let i = 0;
      for (let unit; i < units && (unit = text.charCodeAt(i)) < 0x80; i++) pool[end++] = unit;
      if (i < units) {
        this.#checkText(text);
        end += utf8.encodeInto(text.slice(i), pool.subarray(end)).written;
      }
    } else {
      this.#checkText(text);
      end += utf8.encodeInto(text, pool.subarray(start)).written;
    }
    const bytes = end - start, head = headBytes(bytes);
    if (head !== guess) pool.copyWithin(this.#at + head, start, end);
    this.#head(0x60, bytes);
    this.#at += bytes;
  }

  #checkText(text: string): void {
    if (this.#exact && !text.isWellFormed()) refuse("text holds half of a surrogate pair");
  }

  #byte(byte: number): void {
    this.#pool[this.#at++] = byte;
  }

  /** `major` is the major type in its three bits. */
  #head(major: number, argument: number): void {
    const pool = this.#pool;
    if (argument < 24) {
      pool[this.#at++] = major | argument;
    } else if (argument < 0x100) {
      pool[this.#at++] = major | 24;
      pool[this.#at++] = argument;
    } else if (argument < 0x10000) {
      pool[this.#at++] = major | 25;
      pool[this.#at++] = argument >> 8;
      pool[this.#at++] = argument;
    } else {
      pool[this.#at++] = major | 26;
      this.#view.setUint32(this.#at, argument);
      this.#at += 4;
    }
  }
}

const writer = new CBORWriter({ exact: false });

/**
 * The bytes of `value`: null, booleans, numbers (integers of 32 bits as such, others as 64-bit floats), 64-bit
 * bigints, text (a lone surrogate becomes U+FFFD), byte strings, arrays and plain objects, whose undefined
 * fields are left out. Throws `invalid_argument` for what has no plain form (functions, dates, maps, class
 * instances), a field named `__proto__`, and nesting, and so cycles, beyond the limit.
 */
export function encodeValue(value: unknown): Uint8Array {
  return writer.encode(value);
}
