/** Memory for request bodies that come piece by piece: what all clients of a control socket may have us hold together. */
import { DockerError } from "../docker_error.ts";

/** Bytes of all bodies held: eight of the longest. Nearly all are a few KiB and come with their head. */
const MAX_BODIES_BYTES = 32 * 1024 * 1024;
/** First size of a body's buffer. */
const FIRST_BYTES = 4 * 1024;

const NOTHING = new Uint8Array();

/** What is held, and by whom. */
export class BodyBudget {
  readonly #most: number;
  #held = 0;
  /** Bodies that still come, the oldest first. */
  readonly #coming = new Map<BodyBuffer, () => void>();

  constructor(most: number = MAX_BODIES_BYTES) {
    this.#most = most;
  }

  /** A buffer for one body of at most `maxBytes`; `drop` ends its connection, if others need the memory before it is whole. */
  buffer(maxBytes: number, drop: () => void): BodyBuffer {
    const buffer = new BodyBuffer(this, maxBytes);
    this.#coming.set(buffer, drop);
    return buffer;
  }

  /** Takes `bytes` for `buffer`; who has been at it for longest gives way. Throws Docker's 503 if nobody does. */
  take(bytes: number, buffer: BodyBuffer): void {
    for (const [other, drop] of this.#coming) {
      if (this.#held + bytes <= this.#most) break;
      if (other === buffer) continue;
      other.release();
      drop();
    }
    if (this.#held + bytes > this.#most) {
      const what = `bodies of ${this.#held} bytes are being handled already`;
      throw new DockerError(503, "unavailable", `Cannot read the request body: ${what}`);
    }
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  /** The body is whole: it is needed from now on. */
  whole(buffer: BodyBuffer): void {
    this.#coming.delete(buffer);
  }
}

/** One body as it comes: whatever pieces it comes in, it takes no more than twice its bytes. */
export class BodyBuffer {
  readonly #budget: BodyBudget;
  readonly #maxBytes: number;
  #bytes = NOTHING;
  #length = 0;

  constructor(budget: BodyBudget, maxBytes: number) {
    this.#budget = budget;
    this.#maxBytes = maxBytes;
  }

  /** Bytes that have come. */
  get length(): number {
    return this.#length;
  }

  append(piece: Uint8Array): void {
    const length = this.#length + piece.length, size = this.#bytes.length;
    if (length > size) {
      const grown = Math.max(length, Math.min(Math.max(2 * size, FIRST_BYTES), this.#maxBytes));
      this.#budget.take(grown - size, this);
      const bytes = new Uint8Array(grown);
      bytes.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = bytes;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }

  /** The whole body; it is held until `release`. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#budget.whole(this);
    return this.#bytes.subarray(0, this.#length);
  }

  /** Lets go of it; a second time does nothing. */
  release(): void {
    this.#budget.whole(this);
    this.#budget.give(this.#bytes.length);
    this.#bytes = NOTHING;
    this.#length = 0;
  }
}
