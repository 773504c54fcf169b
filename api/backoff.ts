/** Growing pauses between attempts that fail. Pure: what is random is handed in. */
import type { Random } from "./random.ts";

/** How pauses grow: from `minMs`, doubled each time, up to `maxMs`. */
export interface BackoffLimits {
  /** The first pause, milliseconds. */
  minMs: number;
  /** The longest pause, milliseconds. */
  maxMs: number;
  /** Milliseconds added at each doubling; 0 unless given. */
  addMs?: number;
}

/** How much of a pause is drawn at random, so that many who failed together do not come back in step. */
export interface Jitter {
  random: Random;
  /** From 0, nothing, to 1: the pause is uniform from 0 up to its bound. */
  part: number;
}

/** The pauses of one loop: {@linkcode next} after a failure, {@linkcode reset} after a success. */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #jitter: Jitter | undefined;
  #boundMs: number | undefined;

  constructor(limits: BackoffLimits, jitter?: Jitter) {
    this.#limits = limits;
    this.#jitter = jitter;
  }

  /** The pause before the next attempt, milliseconds. */
  next(): number {
    const { minMs, maxMs, addMs = 0 } = this.#limits;
    const boundMs = this.#boundMs === undefined ? minMs : Math.min(2 * this.#boundMs + addMs, maxMs);
    this.#boundMs = boundMs;
    if (!this.#jitter) return boundMs;
    const { random, part } = this.#jitter;
    return boundMs * (1 - part + part * random.float());
  }

  /** An attempt succeeded: the next pause is the first one again. */
  reset(): void {
    this.#boundMs = undefined;
  }
}
