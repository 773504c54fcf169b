import { isUtf8 } from "node:buffer";
import { CoveyError } from "../api/errors.ts";
import { MAX_FRAME_VALUES, MAX_VALUE_DEPTH } from "./limits.ts";

/** A frame that breaks the rules; the connection that brought it is closed. */
export function malformed(problem: string, cause?: unknown): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read frame: ${problem}`, { cause });
}

const INDEFINITE_OR_RESERVED = 28;
const MAJOR_NAMES = ["integer", "integer", "bytes", "text", "array", "map", "tag", "simple value"];

/** One pass over a frame's bytes that allocates nothing. */
class Scan {
  at = 0;
  #values = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(depth: number, textOnly: boolean): void {
    if (++this.#values > MAX_FRAME_VALUES) throw malformed(`more than ${MAX_FRAME_VALUES} values`);
    const head = this.#byte();
    const major = head >> 5;
    if (textOnly && major !== 3) throw malformed(`a map key is ${MAJOR_NAMES[major]}, not text`);
    const argument = this.#argument(head & 31);
    if (major <= 1) return;
    if (major === 2) this.#skip(argument);
    else if (major === 3) this.#text(argument);
    else if (major === 4) this.#children(argument, depth, false);
    else if (major === 5) this.#children(argument, depth, true);
    else if (major === 6) throw malformed(`tag ${argument} is not allowed`);
    else if ((head < 0xf4 || head > 0xf7) && (head < 0xf9 || head > 0xfb)) {
      throw malformed(`simple value ${argument} is not allowed`);
    }
  }

  #children(count: number, depth: number, map: boolean): void {
    if (depth >= MAX_VALUE_DEPTH) throw malformed(`nested deeper than ${MAX_VALUE_DEPTH}`);
    // Every value takes a byte, so a count beyond the bytes that follow is a lie told to make us allocate.
    if (count * (map ? 2 : 1) > this.#bytes.length - this.at) throw this.#truncated();
    for (let i = 0; i < count; i++) {
      if (map) this.value(depth + 1, true);
      this.value(depth + 1, false);
    }
  }

  #text(length: number): void {
    const start = this.at;
    this.#skip(length);
    for (let i = start; i < this.at; i++) {
      if (this.#bytes[i]! < 0x80) continue;
      if (!isUtf8(this.#bytes.subarray(i, this.at))) throw malformed("text is not UTF-8");
      return;
    }
  }

  #argument(info: number): number {
    if (info < 24) return info;
    if (info >= INDEFINITE_OR_RESERVED) throw malformed("indefinite and reserved lengths are not allowed");
    let value = 0;
    for (let left = 1 << (info - 24); left > 0; left--) value = value * 256 + this.#byte();
    return value;
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.at) throw this.#truncated();
    this.at += length;
  }

  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw this.#truncated();
    return byte;
  }

  #truncated(): CoveyError {
    return malformed(`truncated, ${this.#bytes.length} bytes are not enough for what they declare`);
  }
}

/**
 * Proves that `bytes` are exactly one CBOR value of the subset that we write (definite lengths, text keys, no tags)
 * within depth and count limits, so that decoding them is safe and linear. Throws `invalid_argument`.
 */
export function scanValue(bytes: Uint8Array): void {
  const scan = new Scan(bytes);
  scan.value(0, false);
  if (scan.at !== bytes.length) throw malformed(`${bytes.length - scan.at} bytes after the value`);
}
