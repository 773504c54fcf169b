/** How long one manager may take to answer: what its answers have taken so far says how far away it is. Pure. */

/** A manager that does not answer a call within this time is given up (SwarmKit `dispatcherRPCTimeout`). */
const MIN_PATIENCE_MS = 5_000;
/** Beyond it nobody works with a device any more; a satellite link with a full queue answers in 10 s or so. */
const MAX_PATIENCE_MS = 40_000;
/** An answer may take so many times as long as the slowest of late, and a dial is four round trips. */
const FACTOR = 4;

/** The patience with one manager: grows when it was too short, and with what answers take; shrinks slowly. */
export class Patience {
  #ms = MIN_PATIENCE_MS;

  /** Milliseconds that a dial or a call may take now. */
  get ms(): number {
    return this.#ms;
  }

  /** An answer took `ms`. */
  took(ms: number): void {
    this.#set(Math.max(FACTOR * ms, this.#ms / 2));
  }

  /** An answer did not come in time: it may only have been slow. */
  ranOut(): void {
    this.#set(2 * this.#ms);
  }

  #set(ms: number): void {
    this.#ms = Math.min(MAX_PATIENCE_MS, Math.max(MIN_PATIENCE_MS, ms));
  }
}
