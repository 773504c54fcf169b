import type { CancelTimer, Clock } from "../api/clock.ts";

/** Ends what has nothing to do for too long. */
export class IdleLimit {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #expired: () => void;
  #cancel: CancelTimer = () => {};

  /** `idleMs` 0: never. Counts from now. */
  constructor(clock: Clock, idleMs: number, expired: () => void) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#expired = expired;
    this.idle();
  }

  busy(): void {
    this.#cancel();
  }

  idle(): void {
    this.#cancel();
    if (this.#idleMs > 0) this.#cancel = this.#clock.setTimer(this.#idleMs, this.#expired);
  }
}
