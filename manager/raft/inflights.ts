import { invariant } from "./invariant.ts";

/** The sliding window of append messages on their way to one follower: a ring, limited by count and bytes. */
export class Inflights {
  readonly #capacity: number;
  readonly #maxBytes: number;
  /** Last index and bytes of each message, oldest at `#start`. Grows by doubling up to the capacity. */
  #indexes: number[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  /** @param maxBytes 0 for no limit */
  constructor(capacity: number, maxBytes: number) {
    invariant(capacity > 0, "in-flight window is positive", capacity);
    invariant(maxBytes >= 0, "in-flight bytes are not negative", maxBytes);
    this.#capacity = capacity;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** No further message may be sent. */
  get full(): boolean {
    return this.#count === this.#capacity || (this.#maxBytes > 0 && this.#bytes >= this.#maxBytes);
  }

  /** Notes a message that ends at `index`. */
  add(index: number, bytes: number): void {
    invariant(!this.full, "in-flight window has room", this.#count);
    if (this.#count === this.#indexes.length) this.#grow();
    const size = this.#indexes.length;
    if (this.#count > 0) {
      const last = this.#indexes[(this.#start + this.#count - 1) % size]!;
      invariant(index > last, "in-flight indexes grow", index, last);
    }
    const at = (this.#start + this.#count) % size;
    this.#indexes[at] = index;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Forgets all messages that end at or before `index`. */
  freeTo(index: number): void {
    while (this.#count > 0 && this.#indexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % this.#indexes.length;
      this.#count--;
    }
    invariant(this.#bytes >= 0, "in-flight bytes are not negative", this.#bytes);
    invariant(this.#count > 0 || this.#bytes === 0, "an empty window holds no bytes", this.#bytes);
  }

  /** Forgets everything. */
  reset(): void {
    this.#start = this.#count = this.#bytes = 0;
  }

  #grow(): void {
    const size = Math.min(this.#capacity, Math.max(4, this.#indexes.length * 2));
    invariant(size > this.#count, "the ring grows", size, this.#count);
    const order = Array.from({ length: this.#count }, (_, i) => (this.#start + i) % this.#indexes.length);
    const pad = new Array<number>(size - this.#count).fill(0);
    this.#indexes = [...order.map((i) => this.#indexes[i]!), ...pad];
    this.#sizes = [...order.map((i) => this.#sizes[i]!), ...pad];
    this.#start = 0;
  }
}
