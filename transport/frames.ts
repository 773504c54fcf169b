import { CoveyError } from "../api/errors.ts";
import { type CBORReader, frameDecoder } from "./cbor_decode.ts";
import { encodeValue } from "./cbor_encode.ts";
import { malformed } from "./malformed.ts";

/**
 * A frame is a 4-byte big-endian length and one CBOR array: the type below, then its fields.
 *
 * Stream IDs are odd if the dialing end opened the call and even otherwise, and only grow. A frame for a
 * call that is
 * over is dropped, because it crossed the one that ended it; a frame for a call that never was ends the
 * connection.
 */
export const FrameType = {
  /** [version]: the accepting end has accepted the peer. */
  hello: 0,
  /** [id, kind, method, request, timeoutMs or 0, credit, forwardedFor?] */
  open: 1,
  /** [id, value]: one item of a stream, either way. */
  item: 2,
  /** [id]: the sender has no more items. */
  end: 3,
  /** [id, value]: the answer; the call is over. */
  result: 4,
  /** [id, error]: the call failed and is over. */
  fail: 5,
  /** [id]: the caller gave up; the call is over. */
  cancel: 6,
  /** [id, bytes]: the receiver of items has room for so many more. */
  credit: 7,
  /** [intervalMs?]: asks for a sign of life; from now on, the sender expects no more than one in so long. */
  ping: 8,
  pong: 9,
  /** [error]: the sender closes the connection, and why. */
  goodbye: 10,
} as const;

/** Version of the frames above; `covey/1` is negotiated for it. */
export const PROTOCOL_VERSION = 1;

/** Bytes in front of each frame. */
export const FRAME_HEADER_BYTES = 4;

/** A frame's type and fields. */
export type Frame = readonly unknown[];

/**
 * The bytes of `frame` without the length. Errors: `invalid_argument` (no plain data),
 * `resource_exhausted` (more
 * than `maxBytes`).
 */
export function encodeFrame(frame: Frame, maxBytes: number): Uint8Array {
  const body = encodeValue(frame);
  if (body.length > maxBytes) {
    throw new CoveyError(
      "resource_exhausted",
      `Cannot send message: its ${body.length} bytes exceed the limit of ${maxBytes}`,
    );
  }
  return body;
}

/** The frame in `body`, or `invalid_argument`. */
export function decodeFrame(body: Uint8Array, decoder: CBORReader = frameDecoder()): Frame {
  const frame = decoder.read(body);
  if (!Array.isArray(frame)) throw malformed("no array");
  return frame;
}

/** What a frame takes: its bytes on the wire, and the values in it. */
export interface FrameSize {
  bytes: number;
  values: number;
}

const NOTHING = new Uint8Array(0);

/**
 * Cuts a byte stream into frames, whatever pieces it comes in, one at a time so that whoever reads can stop in between.
 * Memory grows with bytes received, not declared.
 */
export class FrameReader {
  /** What has come and was not read: the last chunk itself, or a copy of what it left. */
  #bytes: Uint8Array = NOTHING;
  #at = 0;
  #end = 0;
  #isCopy = false;
  #wanted = FRAME_HEADER_BYTES;
  readonly #maxBytes: number;
  readonly #decoder: CBORReader;

  constructor(maxBytes: number, maxValues?: number) {
    this.#maxBytes = maxBytes;
    this.#decoder = frameDecoder(maxValues);
  }

  /** Takes in what has arrived; until `next` says that there is no more, or `keep` is called, `chunk` must not change. */
  add(chunk: Uint8Array): void {
    if (this.#at < this.#end) return this.#append(chunk);
    this.#bytes = chunk;
    this.#at = 0;
    this.#end = chunk.length;
    this.#isCopy = false;
  }

  /**
   * Hands the next frame to `sink`; false if no complete one is there. Throws `invalid_argument` or `resource_exhausted`;
   * then stop.
   */
  next(sink: (frame: Frame, size: FrameSize) => void): boolean {
    const held = this.#end - this.#at;
    this.#wanted = FRAME_HEADER_BYTES;
    if (held >= FRAME_HEADER_BYTES) this.#wanted += this.#length();
    if (held < this.#wanted) {
      this.keep();
      return false;
    }
    const bytes = this.#wanted - FRAME_HEADER_BYTES;
    const body = this.#bytes.subarray(this.#at + FRAME_HEADER_BYTES, this.#at + this.#wanted);
    this.#at += this.#wanted;
    const frame = decodeFrame(body, this.#decoder);
    sink(frame, { bytes, values: this.#decoder.values });
    return true;
  }

  /** Makes a copy of what was not read, so that the last chunk may change. */
  keep(): void {
    if (this.#at === this.#end) this.#bytes = NOTHING;
    else if (!this.#isCopy) this.#bytes = new Uint8Array(this.#bytes.subarray(this.#at, this.#end));
    else return;
    this.#end -= this.#at;
    if (this.#bytes === NOTHING) this.#end = 0;
    this.#at = 0;
    this.#isCopy = true;
  }

  #length(): number {
    const bytes = this.#bytes, at = this.#at;
    const length = bytes[at]! * 2 ** 24 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
    if (length === 0) throw malformed("empty");
    if (length > this.#maxBytes) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot read frame: its ${length} bytes exceed the limit of ${this.#maxBytes}`,
      );
    }
    return length;
  }

  #append(chunk: Uint8Array): void {
    const held = this.#end - this.#at, total = held + chunk.length;
    if (!this.#isCopy || this.#end + chunk.length > this.#bytes.length) {
      const room = Math.max(total, Math.min(2 * held, this.#wanted));
      const grown = new Uint8Array(room);
      grown.set(this.#bytes.subarray(this.#at, this.#end));
      this.#bytes = grown;
      this.#at = 0;
      this.#end = held;
      this.#isCopy = true;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }
}
