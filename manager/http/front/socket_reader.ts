/** Buffered reading from a connection, with a read that can stay pending while a response is written. */

import { setImmediate } from "node:timers";

/** The part of `Deno.Conn` that reading takes. */
export type ByteSource = Pick<Deno.Conn, "read">;

/** Bytes asked of the kernel at once; also the first size of the buffer. */
const READ_BYTES = 16 * 1024;
/** Bytes and reads of one connection before the event loop has a turn. */
const MAX_TURN_BYTES = READ_BYTES;
const MAX_TURN_READS = 64;

/** Reads a connection byte by byte as a parser needs them. */
export class SocketReader {
  readonly #source: ByteSource;
  #buffer = new Uint8Array(READ_BYTES);
  #start = 0;
  #end = 0;
  /** Bytes and reads since everybody else has had a turn: a read of what is there already is done at once. */
  #turnBytes = 0;
  #turnReads = 0;
  #pending: Promise<boolean> | undefined;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Bytes that were read and not taken; valid until the next `fill`. */
  peek(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Takes up to `count` bytes of what is buffered, as a copy. */
  take(count = Infinity): Uint8Array<ArrayBuffer> {
    const length = Math.min(count, this.#end - this.#start);
    const taken = this.#buffer.slice(this.#start, this.#start + length);
    this.skip(length);
    return taken;
  }

  /** Drops `count` buffered bytes. */
  skip(count: number): void {
    this.#start += count;
    if (this.#start === this.#end && this.#pending === undefined) this.#start = this.#end = 0;
  }

  /**
   * Reads more; false at the end of the stream. While a read is pending, the same promise is returned, so a reader may give
   * up waiting and ask again later.
   */
  fill(): Promise<boolean> {
    this.#pending ??= this.#read().finally(() => this.#pending = undefined);
    return this.#pending;
  }

  /** Lets the event loop have a turn. */
  async rest(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#turnBytes = this.#turnReads = 0;
  }

  async #read(): Promise<boolean> {
    if (this.#turnBytes >= MAX_TURN_BYTES || this.#turnReads >= MAX_TURN_READS) await this.rest();
    this.#makeRoom();
    const at = this.#end;
    const count = await this.#source.read(this.#buffer.subarray(at));
    if (count === null) return false;
    this.#end = at + count;
    this.#turnBytes += count;
    this.#turnReads++;
    return true;
  }

  #makeRoom(): void {
    if (this.#end < this.#buffer.length) return;
    const held = this.#end - this.#start;
    const target = held > this.#buffer.length / 2 ? new Uint8Array(this.#buffer.length * 2) : this.#buffer;
    target.set(this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = target;
    this.#start = 0;
    this.#end = held;
  }
}
