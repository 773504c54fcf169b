/**
 * The time of one run of a rollout. It goes on evenly whatever becomes of the machine's clock, which may be set by hours when a
 * network is found: how long a version has done well must not be judged by it.
 */
import type { Clock } from "../../api/clock.ts";
import type { Rollout } from "../../api/rollout.ts";

/** When what a plan waits for began, in a run's time (milliseconds). */
export interface Times {
  nowMs: number;
  /** Since when whoever plans has been looking on. What was before is only known from dates that others wrote. */
  sinceMs: number;
  stageStartedMs: number;
  bakeStartedMs: number;
}

/** Begins with the date at its making; what happens from then on is measured, what was before is taken from dates. */
export class RunTime {
  readonly sinceMs: number;
  readonly #monotonicMs: number;
  /** Dates of the rollout, and when they were first seen. */
  readonly #seen = new Map<string, { date: string; atMs: number }>();

  constructor(readonly clock: Clock) {
    this.sinceMs = clock.now();
    this.#monotonicMs = clock.monotonic();
  }

  now(): number {
    return this.of(this.clock.monotonic());
  }

  /** In the run's time, a moment of the clock's monotonic time (milliseconds both). */
  of(monotonicMs: number): number {
    return this.sinceMs + monotonicMs - this.#monotonicMs;
  }

  times(rollout: Rollout): Times {
    return {
      nowMs: this.now(),
      sinceMs: this.sinceMs,
      stageStartedMs: this.#at("stage", rollout.StageStartedAt),
      bakeStartedMs: this.#at("bake", rollout.BakeStartedAt ?? rollout.StageStartedAt),
    };
  }

  #at(what: string, date: string): number {
    const seen = this.#seen.get(what);
    if (seen?.date === date) return seen.atMs;
    const nowMs = this.now();
    // The first one may have been written long ago, later ones were written while this run looked on.
    const atMs = seen === undefined ? Math.min(nowMs, Date.parse(date)) : nowMs;
    this.#seen.set(what, { date, atMs });
    return atMs;
  }
}

/** The same for who looks once. */
export function timesByDate(
  { StageStartedAt, BakeStartedAt = StageStartedAt }: Rollout,
  nowMs: number,
): Times {
  const at = (date: string) => Math.min(nowMs, Date.parse(date));
  return { nowMs, sinceMs: -Infinity, stageStartedMs: at(StageStartedAt), bakeStartedMs: at(BakeStartedAt) };
}
