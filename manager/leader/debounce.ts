import type { CancelTimer, Clock } from "../../api/clock.ts";

/** Calls `fire` once things were quiet for `quietMs`, and at the latest `maxMs` after the first touch. */
export class Debounce {
  #firstAt = 0;
  #lastAt = 0;
  #cancel: CancelTimer | undefined;

  constructor(
    readonly clock: Clock,
    readonly quietMs: number,
    readonly maxMs: number,
    readonly fire: () => void,
  ) {}

  get waiting(): boolean {
    return this.#cancel !== undefined;
  }

  /** Says that something happened; the first touch starts the wait. */
  touch(): void {
    this.#lastAt = this.clock.monotonic();
    if (this.#cancel) return;
    this.#firstAt = this.#lastAt;
    this.#arm(this.quietMs);
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(delayMs: number): void {
    this.#cancel = this.clock.setTimer(delayMs, () => {
      const now = this.clock.monotonic();
      const due = Math.min(this.#lastAt + this.quietMs, this.#firstAt + this.maxMs);
      if (now < due) return this.#arm(due - now);
      this.#cancel = undefined;
      this.fire();
    });
  }
}
