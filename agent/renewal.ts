/**
 * Whether an agent ends to be started again: its memory has grown by more than a share, of pieces that nothing in it can
 * free (decision 0192). What it judges by is pure; figures and times are handed in.
 */
import { type Clock, sleep } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { HeapLook } from "./heap_keeper.ts";

/**
 * What of the least time between two renewals the memory has to settle, two minutes of a quarter of an hour: what an agent
 * does first, it maps pages for. No longer, as what it grows by meanwhile is not held against it.
 */
const SETTLE_SHARE = 2 / 15;
/** So many times the least time between two renewals an agent may be busy without a pause before its memory counts after all. */
const BUSY_TIMES = 4;
/** Between two looks for a quiet moment: a busy device has short ones. */
const QUIET_LOOK_MS = 1_000;

const logger = getLogger(["covey", "agent"]);

/** When it is time. */
export interface RenewalLimits {
  /** Growth beyond which an agent is renewed, of its resident memory. */
  percent: number;
  /** No sooner than this after its start, so that it can never go round in a circle. */
  afterMs: number;
}

/** Resident memory, in bytes. */
export interface Growth {
  /** With what it is compared. */
  from: number;
  /** What a look saw. */
  to: number;
}

/** What one look saw. */
export interface MemoryLook extends HeapLook {
  /** Resident. */
  bytes: number;
  /** When, by the monotonic clock. */
  nowMs: number;
}

/**
 * Judges an agent's memory by looks at it. What it is compared with is the most that it had while it settled, or what it
 * has come down to since, before it may be renewed. Looks in the middle of a busy time do not count, but where there have
 * been no others for four times as long as lies between two renewals.
 */
export class GrowthWatch {
  readonly #limits: RenewalLimits;
  readonly #startMs: number;
  #base: number | undefined;
  #countedMs: number;
  #growth: Growth | undefined;

  constructor(limits: RenewalLimits, startMs: number) {
    this.#limits = limits;
    this.#startMs = this.#countedMs = startMs;
  }

  /** Takes a look; true if the garbage has to be collected, and another look taken, before it says anything. */
  look({ bytes, nowMs, isBusy, isCollected }: MemoryLook): boolean {
    const { percent, afterMs } = this.#limits;
    if (isBusy && nowMs - this.#countedMs < afterMs * BUSY_TIMES) return false;
    this.#countedMs = nowMs;
    const ageMs = nowMs - this.#startMs;
    if (this.#base === undefined || ageMs <= afterMs * SETTLE_SHARE) {
      this.#base = Math.max(this.#base ?? 0, bytes);
      return false;
    }
    // Started in the middle of a busy time, as one that is renewed in it, it has the more at first.
    if (ageMs < afterMs) this.#base = Math.min(this.#base, bytes);
    if (bytes <= this.#base * (1 + percent / 100)) {
      this.#growth = undefined;
      return false;
    }
    // Known already: nothing is collected at every look while it waits for a quiet moment.
    if (this.#growth === undefined && !isCollected) return true;
    this.#growth = { from: this.#base, to: bytes };
    return false;
  }

  /** How much it has grown, if that is too much and it may be renewed. */
  due(nowMs: number): Growth | undefined {
    return nowMs - this.#startMs >= this.#limits.afterMs ? this.#growth : undefined;
  }
}

/** What a renewal works with. */
export interface RenewalOptions {
  clock: Clock;
  limits: RenewalLimits;
  /** Resident memory now. */
  residentBytes: () => number;
  /** Nothing is under way that an end would disturb. */
  isQuiet: () => Promise<boolean>;
  /** Ends the agent in order. */
  renew: () => void;
}

/** Has an agent that has grown end in a quiet moment, once. */
export class Renewal {
  readonly #options: RenewalOptions;
  readonly #watch: GrowthWatch;
  readonly #abort = new AbortController();
  #waiting = false;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#watch = new GrowthWatch(options.limits, options.clock.monotonic());
  }

  /** Takes a look at the memory, when the heap is looked at; true if the garbage has to be collected first. */
  look(heap: HeapLook): boolean {
    const { clock, residentBytes } = this.#options, nowMs = clock.monotonic();
    const collect = this.#watch.look({ ...heap, nowMs, bytes: residentBytes() });
    if (!this.#waiting && this.#watch.due(nowMs)) void this.#renewWhenQuiet();
    return collect;
  }

  stop(): void {
    this.#abort.abort(new CoveyError("canceled", "Cannot go on: the agent stops"));
  }

  async #renewWhenQuiet(): Promise<void> {
    const { clock, limits, renew } = this.#options, { signal } = this.#abort;
    this.#waiting = true;
    while (!signal.aborted) {
      if (this.#watch.due(clock.monotonic()) === undefined) break;
      const isQuiet = await this.#isQuiet(), growth = this.#watch.due(clock.monotonic());
      if (isQuiet && growth && !signal.aborted) {
        this.stop();
        logger.info(
          "Ending to be started again, tasks go on: {to} kB of memory, {from} at first, {percent} % are let be",
          {
            from: Math.round(growth.from / 1024),
            to: Math.round(growth.to / 1024),
            percent: limits.percent,
          },
        );
        return renew();
      }
      await sleep(clock, QUIET_LOOK_MS, signal).catch(() => {});
    }
    this.#waiting = false;
  }

  async #isQuiet(): Promise<boolean> {
    try {
      return await this.#options.isQuiet();
    } catch (thrown) {
      logger.debug("cannot see whether it is quiet: {message}", { message: CoveyError.from(thrown).message });
      return false;
    }
  }
}
