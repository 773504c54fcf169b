/** Growing pauses between attempts, drawn at random so that many devices do not come back in step. Pure. */
import type { Random } from "../api/random.ts";

/** SwarmKit's constants: b becomes 100 ms + 2b, at most 8 s. */
const SESSION_BASE_MS = 100;
const SESSION_MAX_MS = 8000;

/** Pauses between sessions. */
export class Backoff {
  readonly #random: Random;
  #bound = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The next pause in milliseconds: uniform from 0 to a bound that grows with each call. */
  next(): number {
    this.#bound = Math.min(SESSION_BASE_MS + 2 * this.#bound, SESSION_MAX_MS);
    return this.#random.float() * this.#bound;
  }

  /** An attempt succeeded. */
  reset(): void {
    this.#bound = 0;
  }
}

/** First pause before a failed controller call is tried again (SwarmKit: always 1 s). */
const RETRY_BASE_MS = 1000;
/** Longest such pause: a registry may be out for hours, and a device shall not spend them pulling. */
const RETRY_MAX_MS = 30_000;

/** The pause in milliseconds before retry number `attempt` (from 1) of a controller call. */
export function retryDelay(attempt: number): number {
  return Math.min(RETRY_BASE_MS * 2 ** Math.min(attempt - 1, 10), RETRY_MAX_MS);
}
