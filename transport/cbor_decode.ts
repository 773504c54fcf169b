/** Reads CBOR of the subset that `cbor_encode.ts` writes, and nothing else, in one pass that trusts no length. */
import type { CoveyError } from "../api/errors.ts";
import { MAX_FRAME_VALUES, MAX_VALUE_DEPTH } from "./limits.ts";
import { malformed } from "./malformed.ts";

const INDEFINITE_OR_RESERVED = 28;
const MAJOR_NAMES = ["integer", "integer", "bytes", "text", "array", "map", "tag", "simple value"];
/** Longer text is left to the platform's decoder, which costs more to call. */
const SHORT_TEXT = 64;
/** Field names come again and again: as many of them are kept, each no longer than short text. */
const KEPT_KEYS = 1024;

const strictUTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenientUTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
const keptKeys: string[] = new Array(KEPT_KEYS).fill("");
const NOTHING = new Uint8Array();

/** What a {@linkcode CBORReader} puts up with. */
export interface CBORRules {
  /** Values in all. */
  maxValues: number;
  /** Throw on text that is not UTF-8; otherwise what is wrong in it becomes U+FFFD. */
  strictText: boolean;
}

/** Reads one value after another; each of definite lengths, with text keys, without tags; floats of any size. */
export class CBORReader {
  protected bytes: Uint8Array = NOTHING;
  protected at = 0;
  #values = 0;
  #view: DataView | undefined;
  readonly #maxValues: number;
  readonly #utf8: TextDecoder;

  constructor({ maxValues, strictText }: CBORRules) {
    this.#maxValues = maxValues;
    this.#utf8 = strictText ? strictUTF8 : lenientUTF8;
  }

  /** Values in what was read last. */
  get values(): number {
    return this.#values;
  }

  /** The value in `bytes`, which must be exactly one. Integers of 64 bits are bigints. Throws `invalid_argument`. */
  read(bytes: Uint8Array): unknown {
    this.bytes = bytes;
    this.at = this.#values = 0;
    this.#view = undefined;
    const value = this.value(0);
    if (this.at !== bytes.length) throw malformed(`${bytes.length - this.at} bytes after the value`);
    // So that a reader that is kept pins nothing.
    this.bytes = NOTHING;
    return value;
  }

  /** The value of a map's field. */
  protected field(_key: string, depth: number): unknown {
    return this.value(depth);
  }

  /** An integer of 64 bits. */
  protected long(value: bigint): unknown {
    return value;
  }

  protected value(depth: number): unknown {
    this.#count();
    const head = this.byte(), info = head & 31;
    switch (head >> 5) {
      case 0:
        return info === 27 ? this.long(this.#long()) : this.argument(info);
      case 1:
        return info === 27 ? this.long(-1n - this.#long()) : -1 - this.argument(info);
      case 2:
        return this.#byteString(this.argument(info));
      case 3:
        return this.#text(this.argument(info));
      case 4:
        return this.#array(this.argument(info), depth);
      case 5:
        return this.#map(this.argument(info), depth);
      case 6:
        throw malformed(`tag ${this.argument(info)} is not allowed`);
      default:
        return this.#simple(info);
    }
  }

  #count(): void {
    if (++this.#values > this.#maxValues) throw malformed(`more than ${this.#maxValues} values`);
  }

  #array(count: number, depth: number): unknown[] {
    this.#expect(count, 1, depth);
    const list: unknown[] = [];
    for (let i = 0; i < count; i++) list.push(this.value(depth + 1));
    return list;
  }

  #map(count: number, depth: number): Record<string, unknown> {
    this.#expect(count, 2, depth);
    const record: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const key = this.#key();
      record[key] = this.field(key, depth + 1);
    }
    return record;
  }

  /** Every value takes a byte, so a count beyond the bytes that follow is a lie told to make us allocate. */
  #expect(count: number, valuesEach: number, depth: number): void {
    if (depth >= MAX_VALUE_DEPTH) throw malformed(`nested deeper than ${MAX_VALUE_DEPTH}`);
    if (count * valuesEach > this.bytes.length - this.at) throw this.#truncated();
  }

  #key(): string {
    this.#count();
    if (!this.isText()) throw malformed(`a map key is ${MAJOR_NAMES[this.byte() >> 5]}, not text`);
    const key = this.keptText(keptKeys);
    // Assigning to it would change the object's class.
    if (key === "__proto__") throw malformed('a field is named "__proto__"');
    return key;
  }

  protected isText(): boolean {
    return this.bytes[this.at]! >> 5 === 3;
  }

  /**
   * Text that is likely to be one of those `kept`, which are a power of two; each is found by a hash, and gives way to
   * another of the same.
   */
  protected keptText(kept: string[]): string {
    const head = this.byte();
    const length = this.argument(head & 31);
    if (length === 0 || length > SHORT_TEXT || length > this.bytes.length - this.at) {
      return this.#text(length);
    }
    const bytes = this.bytes, start = this.at, last = start + length - 1;
    const hash = bytes[start]! * 7 + bytes[last]! * 31 + bytes[(start + last) >> 1]! * 1021 + length * 17;
    const slot = hash & (kept.length - 1);
    const text = kept[slot]!;
    if (text.length === length) {
      let i = 0;
      while (i < length && text.charCodeAt(i) === bytes[start + i]) i++;
      if (i === length) {
        this.at += length;
        return text;
      }
    }
    const read = this.#text(length);
    // As many units as bytes: ASCII, which alone is compared rightly above.
    if (read.length === length) kept[slot] = read;
    return read;
  }

  #text(length: number): string {
    const start = this.skip(length), bytes = this.bytes;
    if (length <= SHORT_TEXT) {
      const units: number[] = new Array(length);
      let i = 0;
      for (let byte; i < length && (byte = bytes[start + i]!) < 0x80; i++) units[i] = byte;
      if (i === length) return String.fromCharCode.apply(undefined, units);
    }
    try {
      return this.#utf8.decode(bytes.subarray(start, this.at));
    } catch (error) {
      throw malformed("text is not UTF-8", error);
    }
  }

  #byteString(length: number): Uint8Array {
    return this.copyFrom(this.skip(length));
  }

  /** What was read since `start`: a copy, so that it pins no socket's buffer; never a Buffer, whatever `bytes` is. */
  protected copyFrom(start: number): Uint8Array {
    return new Uint8Array(this.bytes.subarray(start, this.at));
  }

  #simple(info: number): unknown {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 23:
        return undefined;
      case 25:
        return this.#float16();
      case 26:
        return this.#data(4).getFloat32(this.at - 4);
      case 27:
        return this.#data(8).getFloat64(this.at - 8);
      default:
        throw malformed(`simple value ${this.argument(info)} is not allowed`);
    }
  }

  #float16(): number {
    const bits = this.argument(25);
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  }

  #long(): bigint {
    return this.#data(8).getBigUint64(this.at - 8);
  }

  /** Steps over so many bytes and gives a view to read them from. */
  #data(length: number): DataView {
    this.skip(length);
    const bytes = this.bytes;
    return this.#view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  protected argument(info: number): number {
    if (info < 24) return info;
    if (info >= INDEFINITE_OR_RESERVED) throw malformed("indefinite and reserved lengths are not allowed");
    let value = 0;
    for (let left = 1 << (info - 24); left > 0; left--) value = value * 256 + this.byte();
    return value;
  }

  /** Steps over so many bytes; returns where they begin. */
  protected skip(length: number): number {
    const start = this.at;
    if (length > this.bytes.length - start) throw this.#truncated();
    this.at = start + length;
    return start;
  }

  protected byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw this.#truncated();
    return byte;
  }

  #truncated(): CoveyError {
    return malformed(`truncated, ${this.bytes.length} bytes are not enough for what they declare`);
  }
}

/** Reads frames, within limits so that time and memory stay in proportion to the bytes. */
export function frameDecoder(maxValues: number = MAX_FRAME_VALUES): CBORReader {
  return new CBORReader({ maxValues, strictText: true });
}
