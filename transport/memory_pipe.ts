import type { BytePipe, PipeEvents } from "./pipe.ts";

/** One direction between two hosts of the memory network. */
export interface MemoryPath {
  /** Bytes and ends are held back, as on a network that lost its link, until it is false again. */
  stalled: boolean;
  /** Largest piece in which bytes arrive; 0: as they were written. */
  pieceBytes: number;
}

/**
 * One end of an in-process byte pipe. Everything moves in microtasks, so virtual time stands still
 * meanwhile.
 */
export class MemoryPipe implements BytePipe {
  readonly remoteAddress: string;
  #other!: MemoryPipe;
  #events: PipeEvents | undefined;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #moving = false;
  #ending = false;
  #paused = false;
  #closed = false;
  readonly #path: MemoryPath;
  readonly #onClosed: () => void;

  private constructor(remoteAddress: string, path: MemoryPath, onClosed: () => void) {
    this.remoteAddress = remoteAddress;
    this.#path = path;
    this.#onClosed = onClosed;
  }

  /** Two ends; each is given the other's address, its way there, and a callback for when it is released. */
  static pair(
    a: { address: string; toPeer: MemoryPath; onClosed: () => void },
    b: { address: string; toPeer: MemoryPath; onClosed: () => void },
  ): [MemoryPipe, MemoryPipe] {
    const first = new MemoryPipe(b.address, a.toPeer, a.onClosed);
    const second = new MemoryPipe(a.address, b.toPeer, b.onClosed);
    first.#other = second;
    second.#other = first;
    return [first, second];
  }

  get buffered(): number {
    return this.#heldBytes;
  }

  start(events: PipeEvents): void {
    this.#events = events;
    this.wake();
  }

  write(bytes: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    this.#move();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.wake();
  }

  end(): void {
    this.#ending = true;
    this.#move();
  }

  destroy(): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#ending = true;
    this.#close();
    this.#move();
  }

  /** The connection is reset at both ends. */
  reset(): void {
    const error = new Error("connection reset");
    this.#close(error);
    this.#other.#close(error);
  }

  defer(run: () => void): void {
    queueMicrotask(run);
  }

  /** The way may be free again: delivers what is held, in both directions. */
  wake(): void {
    this.#move();
    this.#other.#move();
  }

  #move(): void {
    if (this.#moving) return;
    this.#moving = true;
    queueMicrotask(() => {
      this.#moving = false;
      if (!this.#path.stalled && this.#other.#events && !this.#other.#paused) this.#deliver(this.#other);
    });
  }

  #deliver(other: MemoryPipe): void {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const bytes of held) {
      const piece = this.#path.pieceBytes || bytes.length;
      for (let at = 0; at < bytes.length && !other.#closed; at += piece) {
        other.#events?.data(bytes.subarray(at, at + piece));
      }
    }
    if (held.length > 0 && !this.#closed) this.#events?.drain();
    if (!this.#ending || this.#heldBytes > 0) return;
    // As with TCP here: an end of one side is the end of both.
    this.#close();
    other.#close();
  }

  #close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClosed();
    queueMicrotask(() => this.#events?.closed(error));
  }
}
