import { CoveyError } from "../api/errors.ts";
import { FRAME_HEADER_BYTES } from "./frames.ts";
import { type Limits, MAX_WAITING_CALLS } from "./limits.ts";
import type { BytePipe } from "./pipe.ts";

/** Bytes of waiting frames that are written without waiting for the end of the tick. */
const FLUSH_BYTES = 64 * 1024;

/**
 * Frames on their way out: those of one tick leave in one write, and senders wait while too much is queued.
 */
export class Outbox {
  #frames: Uint8Array[] = [];
  #frameBytes = 0;
  #scheduled = false;
  #closed = false;
  #waiters: (() => void)[] = [];
  readonly #pipe: BytePipe;
  readonly #maxQueuedBytes: number;
  readonly #overdraftBytes: number;

  constructor(pipe: BytePipe, limits: Pick<Limits, "maxQueuedBytes" | "queueOverdraftBytes">) {
    this.#pipe = pipe;
    this.#maxQueuedBytes = limits.maxQueuedBytes;
    this.#overdraftBytes = limits.queueOverdraftBytes;
  }

  get #queued(): number {
    return this.#frameBytes + this.#pipe.buffered;
  }

  /** Whether calls and streams may send; control frames always may. */
  get hasRoom(): boolean {
    return this.#queued < this.#maxQueuedBytes;
  }

  /**
   * Runs `run` once there is room, or when the connection ends. Throws `resource_exhausted` if too many
   * wait.
   */
  whenRoom(run: () => void): void {
    if (this.#closed || (this.#waiters.length === 0 && this.hasRoom)) return run();
    if (this.#waiters.length >= MAX_WAITING_CALLS) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot send to ${this.#pipe.remoteAddress}: ${MAX_WAITING_CALLS} calls wait for ${this.#queued} queued bytes`,
        { retryable: true },
      );
    }
    this.#waiters.push(run);
  }

  /** Queues a frame's bytes. Throws `resource_exhausted` if the peer has not read for far too long. */
  push(body: Uint8Array): void {
    if (this.#closed) return;
    this.#frames.push(body);
    this.#frameBytes += body.length + FRAME_HEADER_BYTES;
    if (this.#queued > this.#maxQueuedBytes + this.#overdraftBytes) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot send to ${this.#pipe.remoteAddress}: the peer does not read, ${this.#queued} bytes are queued`,
      );
    }
    if (this.#frameBytes >= FLUSH_BYTES) return this.flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#pipe.defer(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Writes all waiting frames at once. */
  flush(): void {
    if (this.#frameBytes === 0) return;
    const batch = new Uint8Array(this.#frameBytes);
    const view = new DataView(batch.buffer);
    let at = 0;
    for (const body of this.#frames) {
      view.setUint32(at, body.length);
      batch.set(body, at + FRAME_HEADER_BYTES);
      at += FRAME_HEADER_BYTES + body.length;
    }
    this.#frames = [];
    this.#frameBytes = 0;
    if (!this.#closed) this.#pipe.write(batch);
  }

  /** The pipe has drained: lets those who wait go on, first come first served. */
  drained(): void {
    while (this.#waiters.length > 0 && (this.#closed || this.hasRoom)) this.#waiters.shift()!();
  }

  /** Drops what waits and lets everybody who waits find out. */
  close(): void {
    this.#closed = true;
    this.#frames = [];
    this.#frameBytes = 0;
    this.drained();
  }
}
