/** Tells a burst that may go out at once from load that is better batched. */
import type { Clock } from "../../api/clock.ts";

/** Time until a unit is given back, which is also how long a change waits for company under load (SwarmKit: 100 ms). */
export const BATCH_DELAY_MS = 100;

/** Units at hand after a quiet time: a lone change, or the few steps of one task's replacement, go out undelayed. */
const BURST = 8;

/** A token bucket: `BURST` units, one more per `BATCH_DELAY_MS`. */
export class BurstBudget {
  readonly #clock: Clock;
  #units = BURST;
  #at: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#at = clock.monotonic();
  }

  /** Takes a unit; false if there is none. */
  take(): boolean {
    const now = this.#clock.monotonic();
    this.#units = Math.min(BURST, this.#units + (now - this.#at) / BATCH_DELAY_MS);
    this.#at = now;
    if (this.#units < 1) return false;
    this.#units -= 1;
    return true;
  }
}
