import type { CoveyError } from "../api/errors.ts";
import { ITEM_OVERHEAD_BYTES } from "./limits.ts";
import { malformed } from "./malformed.ts";

interface Waiter {
  resolve(result: IteratorResult<unknown>): void;
  reject(error: unknown): void;
}

/** What an item counts for in flow control, at both ends. */
export function itemCost(frameBytes: number): number {
  return frameBytes + ITEM_OVERHEAD_BYTES;
}

/**
 * Items of one stream that have arrived and wait for their consumer; bounded by the credit given to the
 * sender.
 */
export class ReceiveQueue implements AsyncIterableIterator<unknown> {
  #items: { value: unknown; cost: number }[] = [];
  #waiters: Waiter[] = [];
  #credit: number;
  #freed = 0;
  #end: { error?: CoveyError } | undefined;
  readonly #windowBytes: number;
  readonly #grant: (bytes: number) => void;
  readonly #onReturn: () => void;

  /** `grant` tells the sender about room for more; `onReturn` runs if the consumer leaves before the end. */
  constructor(windowBytes: number, grant: (bytes: number) => void, onReturn: () => void) {
    this.#credit = windowBytes;
    this.#windowBytes = windowBytes;
    this.#grant = grant;
    this.#onReturn = onReturn;
  }

  /** An item arrived. Throws `invalid_argument` if the sender had no credit left. */
  push(value: unknown, frameBytes: number): void {
    if (this.#credit <= 0) throw malformed("a stream item was sent without credit");
    const cost = itemCost(frameBytes);
    this.#credit -= cost;
    if (this.#end) return;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#items.push({ value, cost });
      return;
    }
    waiter.resolve({ value, done: false });
    this.#consumed(cost);
  }

  /** No more items come; what is queued is still delivered, then `error` if there is one. */
  end(error?: CoveyError): void {
    if (this.#end) return;
    this.#end = error ? { error } : {};
    const waiters = this.#waiters;
    this.#waiters = [];
    waiters.forEach((waiter, i) => i === 0 && error ? waiter.reject(error) : waiter.resolve(DONE));
    if (error && waiters.length > 0) this.#end = {};
  }

  /** Drops what is queued; from now on the consumer sees the end. */
  discard(): void {
    this.#items = [];
    this.end();
    this.#end = {};
  }

  next(): Promise<IteratorResult<unknown>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#consumed(item.cost);
      return Promise.resolve({ value: item.value, done: false });
    }
    if (this.#end === undefined) {
      return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
    const { error } = this.#end;
    this.#end = {};
    return error ? Promise.reject(error) : Promise.resolve(DONE);
  }

  return(): Promise<IteratorResult<unknown>> {
    const open = this.#end === undefined;
    this.discard();
    if (open) this.#onReturn();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #consumed(cost: number): void {
    this.#freed += cost;
    // Half a window at a time: few credit frames, and never a sender that waits for credit we sit on.
    if (this.#end || this.#freed < this.#windowBytes / 2) return;
    this.#credit += this.#freed;
    this.#grant(this.#freed);
    this.#freed = 0;
  }
}

const DONE: IteratorResult<unknown> = { value: undefined, done: true };
