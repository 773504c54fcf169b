/** A token bucket per caller. */
import type { Clock } from "../../api/clock.ts";

/** Settings of a {@linkcode RateLimiter}. */
export interface RateLimiterOptions {
  clock: Clock;
  /** Calls a key may make at once after a pause. */
  burst: number;
  /** Calls per second that a key regains. */
  perSecond: number;
  /** Keys remembered; the one unused for longest is forgotten first, which bounds memory, not safety. */
  maxKeys: number;
}

/** Says whether a caller may call now. */
export class RateLimiter {
  readonly #options: RateLimiterOptions;
  /** In order of last use. */
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(options: RateLimiterOptions) {
    this.#options = options;
  }

  /** Takes one call from the bucket of `key`; false when it is empty. */
  take(key: string): boolean {
    const { clock, burst, perSecond, maxKeys } = this.#options;
    const at = clock.monotonic();
    const bucket = this.#buckets.get(key) ?? { left: burst, at };
    this.#buckets.delete(key);
    const left = Math.min(burst, bucket.left + (at - bucket.at) * perSecond / 1000);
    const allowed = left >= 1;
    this.#buckets.set(key, { left: allowed ? left - 1 : left, at });
    if (this.#buckets.size > maxKeys) this.#buckets.delete(this.#buckets.keys().next().value!);
    return allowed;
  }
}
