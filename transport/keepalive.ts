import type { CancelTimer, Clock } from "../api/clock.ts";

/** Notices a link that died without a word: pings after silence, gives up after too much of it. */
export class Keepalive {
  #heard = true;
  #misses = 0;
  #cancel: CancelTimer;
  readonly #clock: Clock;
  #intervalMs: number;
  readonly #maxMisses: number;
  readonly #ping: () => void;
  readonly #dead: (silentMs: number) => void;

  constructor(
    clock: Clock,
    limits: { keepaliveIntervalMs: number; keepaliveMisses: number },
    ping: () => void,
    dead: (silentMs: number) => void,
  ) {
    this.#clock = clock;
    this.#intervalMs = limits.keepaliveIntervalMs;
    this.#maxMisses = limits.keepaliveMisses;
    this.#ping = ping;
    this.#dead = dead;
    this.#cancel = clock.setTimer(this.#intervalMs, () => this.#tick());
  }

  /** Bytes arrived. */
  heard(): void {
    this.#heard = true;
  }

  /** From now on so long may pass without a word; false if it was so before. */
  slowDown(intervalMs: number): boolean {
    if (intervalMs === this.#intervalMs) return false;
    this.#intervalMs = intervalMs;
    this.#misses = 0;
    this.#cancel();
    this.#cancel = this.#clock.setTimer(intervalMs, () => this.#tick());
    return true;
  }

  stop(): void {
    this.#cancel();
  }

  #tick(): void {
    if (this.#heard) this.#misses = 0;
    else if (this.#misses >= this.#maxMisses) return this.#dead((this.#misses + 1) * this.#intervalMs);
    else {
      this.#misses++;
      this.#ping();
    }
    this.#heard = false;
    this.#cancel = this.#clock.setTimer(this.#intervalMs, () => this.#tick());
  }
}
