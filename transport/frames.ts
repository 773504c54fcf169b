import { CoveyError } from "../api/errors.ts";
import { decodeValue } from "./cbor_decode.ts";
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
export function decodeFrame(body: Uint8Array): Frame {
  const frame = decodeValue(body);
  if (!Array.isArray(frame)) throw malformed("no array");
  return frame;
}

/**
 * Cuts a byte stream into frames, whatever pieces it comes in. Memory grows with bytes received, not
 * declared.
 */
export class FrameReader {
  #held = new Uint8Array(0);
  #heldBytes = 0;
  #wanted = FRAME_HEADER_BYTES;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Hands each complete frame and its size to `sink`. Throws `invalid_argument` or `resource_exhausted`;
   * then stop.
   */
  push(chunk: Uint8Array, sink: (frame: Frame, bytes: number) => void): void {
    if (this.#heldBytes > 0) {
      this.#hold(chunk);
      if (this.#heldBytes < this.#wanted) return;
      chunk = this.#held.subarray(0, this.#heldBytes);
      this.#held = new Uint8Array(0);
      this.#heldBytes = 0;
    }
    let at = 0;
    while (true) {
      this.#wanted = FRAME_HEADER_BYTES;
      if (chunk.length - at < this.#wanted) break;
      const bytes = this.#length(chunk, at);
      this.#wanted += bytes;
      if (chunk.length - at < this.#wanted) break;
      const body = chunk.subarray(at + FRAME_HEADER_BYTES, at + this.#wanted);
      at += this.#wanted;
      sink(decodeFrame(body), bytes);
    }
    if (at < chunk.length) this.#hold(chunk.subarray(at));
  }

  #length(chunk: Uint8Array, at: number): number {
    const bytes = chunk[at]! * 2 ** 24 + ((chunk[at + 1]! << 16) | (chunk[at + 2]! << 8) | chunk[at + 3]!);
    if (bytes === 0) throw malformed("empty");
    if (bytes > this.#maxBytes) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot read frame: its ${bytes} bytes exceed the limit of ${this.#maxBytes}`,
      );
    }
    return bytes;
  }

  #hold(chunk: Uint8Array): void {
    const total = this.#heldBytes + chunk.length;
    if (total > this.#held.length) {
      const grown = new Uint8Array(Math.max(total, Math.min(2 * this.#held.length, this.#wanted)));
      grown.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = grown;
    }
    this.#held.set(chunk, this.#heldBytes);
    this.#heldBytes = total;
  }
}
