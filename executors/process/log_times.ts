/**
 * Where and when the bytes of one log were written: a program appends to its file by itself, so what is known of times is
 * how long the file was when somebody looked. Positions count all bytes that were ever seen of the log, across rotations.
 */

/** Looks that are remembered; beyond it every second one is forgotten, and times become coarser. */
const MAX_MARKS = 256;

/** Somebody saw at `ms` that what begins at `at` had been written. */
interface Mark {
  at: number;
  ms: number;
}

/** What there is of a log: an older file with what is between `oldFrom` and `base`, and the file from `base` to `end`. */
export interface LogState {
  oldFrom: number;
  base: number;
  end: number;
  marks: Mark[];
}

/** One log's positions and times. */
export class LogTimes {
  #state: LogState;

  /** `kept` is what an earlier agent knew. */
  constructor(kept?: LogState) {
    this.#state = kept ?? { oldFrom: 0, base: 0, end: 0, marks: [] };
  }

  get state(): Readonly<LogState> {
    return this.#state;
  }

  /** What was known is not so any more. */
  forget(): void {
    this.#state = { oldFrom: 0, base: 0, end: 0, marks: [] };
  }

  /** An older file of `bytes` was found that nobody knows of; what is in it was written before `ms`. */
  foundOlder(bytes: number, ms: number): void {
    if (this.#state.end > 0 || bytes === 0) return;
    this.#state = { oldFrom: 0, base: bytes, end: bytes, marks: [{ at: 0, ms }] };
  }

  /** The file has `bytes` at `ms`. True if there is more than before. */
  seen(bytes: number, ms: number): boolean {
    const { base, end } = this.#state;
    // Somebody else has emptied it.
    if (base + bytes < end) this.#state = { ...this.#state, oldFrom: end, base: end };
    const now = this.#state.base + bytes;
    if (now <= end) return false;
    this.#mark(end, ms);
    this.#state.end = now;
    return true;
  }

  /** The file was emptied; the last `kept` bytes that were seen of it are the older file now. */
  rotated(kept: number): void {
    const { end } = this.#state;
    this.#state = { ...this.#state, oldFrom: end - kept, base: end };
    while ((this.#state.marks[1]?.at ?? Infinity) <= this.#state.oldFrom) this.#state.marks.shift();
  }

  /** The older file is gone. */
  olderGone(): void {
    this.#state.oldFrom = this.#state.base;
  }

  /** When what stands at a position was written, in milliseconds since 1970: not before. */
  timeOf(position: number): number {
    const { marks } = this.#state;
    let low = 0, high = marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (marks[middle]!.at <= position) low = middle + 1;
      else high = middle;
    }
    return marks[Math.max(0, low - 1)]?.ms ?? 0;
  }

  #mark(at: number, ms: number): void {
    const { marks } = this.#state;
    // A clock that was set back must not put what comes later before what was there.
    marks.push({ at, ms: Math.max(ms, marks.at(-1)?.ms ?? 0) });
    if (marks.length > MAX_MARKS) this.#state.marks = marks.filter((_, index) => index % 2 === 0);
  }
}
