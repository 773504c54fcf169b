/** Token buckets: a burst at once, then a steady rate. */
import type { Clock } from "./clock.ts";

/** Settings of a {@linkcode TokenBucket}. */
export interface BucketOptions {
  clock: Pick<Clock, "monotonic">;
  /** Calls that may be made at once after a pause. */
  burst: number;
  /** Calls per second that are regained. */
  perSecond: number;
}

/** Says whether one more call may be made now. */
export class TokenBucket {
  readonly #options: BucketOptions;
  #left: number;
  #at: number;

  constructor(options: BucketOptions) {
    this.#options = options;
    this.#left = options.burst;
    this.#at = options.clock.monotonic();
  }

  /** Takes one call, or so many; false when there are fewer, and then none is taken. */
  take(amount = 1): boolean {
    const { clock, burst, perSecond } = this.#options;
    const now = clock.monotonic();
    this.#left = Math.min(burst, this.#left + (now - this.#at) * perSecond / 1000);
    this.#at = now;
    if (this.#left < amount) return false;
    this.#left -= amount;
    return true;
  }
}

/** Settings of a {@linkcode RateLimiter}, each key having a bucket of its own. */
export interface RateLimiterOptions extends BucketOptions {
  /** Keys remembered; the one unused for longest is forgotten first, which bounds memory, not safety. */
  maxKeys: number;
}

/** A token bucket per caller. */
export class RateLimiter {
  readonly #options: RateLimiterOptions;
  /** In order of last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(options: RateLimiterOptions) {
    this.#options = options;
  }

  /** Takes one call from the bucket of `key`; false when it is empty. */
  take(key: string): boolean {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#options);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#options.maxKeys) this.#buckets.delete(this.#buckets.keys().next().value!);
    return bucket.take();
  }
}
