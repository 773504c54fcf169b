/** Bounds how many tasks are being made ready at once, so that a small device is not drowned by a large assignment. */
import type { CancelTimer, Clock } from "../api/clock.ts";
import { RUNTIME_CONTAINER } from "../api/service.ts";

/** Containers pulled, created or started at once: an engine on a Raspberry Pi does no more in the same time. */
const MAX_CONTAINER_STARTS = 6;
/** The same for every other runtime; a process costs a few milliseconds. */
const MAX_OTHER_STARTS = 32;
/** A place is held no longer than this: a start that waits for its health check or a slow pull keeps nobody out. */
export const MAX_PLACE_MS = 10_000;

/** The limit for tasks of `runtime`. */
export function startLimit(runtime: string): number {
  return runtime === RUNTIME_CONTAINER ? MAX_CONTAINER_STARTS : MAX_OTHER_STARTS;
}

/** A counting semaphore, first come first served. */
export class StartLimiter {
  readonly #clock: Clock;
  #free: number;
  readonly #queue = new Set<() => void>();

  constructor(clock: Clock, places: number) {
    this.#clock = clock;
    this.#free = places;
  }

  /** Runs `work` once there is a place. Rejects with the signal's reason if it aborts while waiting. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#enqueue(signal);
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      this.#release();
    };
    const cancel: CancelTimer = this.#clock.setTimer(MAX_PLACE_MS, release);
    try {
      return await work();
    } finally {
      cancel();
      release();
    }
  }

  #enqueue(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const take = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#queue.delete(take);
        reject(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#queue.add(take);
    });
  }

  #release(): void {
    const [next] = this.#queue;
    if (!next) {
      this.#free++;
      return;
    }
    this.#queue.delete(next);
    next();
  }
}
