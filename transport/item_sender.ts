import { FrameType } from "./frames.ts";
import type { Link } from "./link.ts";
import { itemCost } from "./receive_queue.ts";

/** Most credit that is kept; a peer that grants more gains nothing. */
const MAX_CREDIT_BYTES = 2 ** 40;

/** Ends what will not be read on. */
export async function endQuietly(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // A source that fails while it is being ended has nobody left to tell.
  }
}

/** Sends what an iterable yields as one stream's items, pulling only while the receiver has given credit. */
export class ItemSender {
  #credit: number;
  #stopped = false;
  #wake: (() => void) | undefined;
  readonly #link: Link;
  readonly #id: number;

  constructor(link: Link, id: number, credit: number) {
    this.#link = link;
    this.#id = id;
    this.#credit = credit;
  }

  /** The receiver has room for `bytes` more. */
  addCredit(bytes: number): void {
    this.#credit = Math.min(this.#credit + bytes, MAX_CREDIT_BYTES);
    if (this.#credit > 0) this.#wake?.();
  }

  /** Sends nothing more and ends the iterable. */
  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /**
   * Resolves to true when all items and the end were sent, false if stopped; rejects with the source's
   * error.
   */
  async run(source: AsyncIterable<unknown>): Promise<boolean> {
    const iterator = source[Symbol.asyncIterator]();
    let finished = false;
    try {
      while (!this.#stopped) {
        if (this.#credit <= 0) await this.#park((wake) => wake);
        else if (!this.#link.hasRoom) await this.#park((wake) => this.#link.whenRoom(wake));
        else {
          const next = await this.#next(iterator).catch((error) => {
            finished = true;
            throw error;
          });
          if (next === undefined || this.#stopped) break;
          if (next.done) {
            finished = true;
            this.#link.send([FrameType.end, this.#id]);
            return true;
          }
          this.#credit -= itemCost(this.#link.send([FrameType.item, this.#id, next.value]));
        }
      }
      return false;
    } finally {
      if (!finished) await endQuietly(iterator);
    }
  }

  /** The next item, or undefined once stopped, even while the source is stuck. */
  #next(iterator: AsyncIterator<unknown>): Promise<IteratorResult<unknown> | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = () => this.#stopped && resolve(undefined);
      iterator.next().then(resolve, reject);
    });
  }

  #park(arrange: (wake: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      arrange(resolve);
    });
  }
}
