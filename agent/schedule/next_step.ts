/** What a scheduled job does next on its device. Pure, but for the calendar. */
import { Cron } from "croner";
import { toMs } from "../../api/duration.ts";
import type { Schedule } from "../../api/schedule.ts";

/** A run that begins less than this late is in time: an agent was started anew meanwhile, or the device was busy. */
const IN_TIME_MS = 60_000;
/** Runs of one job at once on a device, where they may overlap: what never ends must not fill it. */
const MAX_ALIVE = 10;

/** Where a scheduled job stands. Times are Unix milliseconds. */
export interface Standing {
  schedule: Schedule;
  /** The newest time that was seen to: run, skipped or missed. */
  lastMs: number;
  nowMs: number;
  /** Runs that go on. */
  alive: number;
  /** The time that waits for them to end, if one does. */
  awaitedMs: number | undefined;
}

/** One thing to do. */
export type Step =
  | { kind: "wait"; untilMs: number }
  | { kind: "run"; atMs: number }
  /** The runs that go on are to end first. */
  | { kind: "replace"; atMs: number }
  /** There is no run for that time. */
  | { kind: "note"; atMs: number; state: "skipped" | "missed"; reason: string };

/** A clock that goes back by more was wrong before: what it had shown does not hold the job up. */
const MAX_BACK_MS = 24 * 3_600_000;

/** The next step. Of several times that have passed only the newest counts, so that nothing is caught up on in a row. */
export function nextStep({ schedule, lastMs, nowMs, alive, awaitedMs }: Standing): Step {
  const times = new Cron(schedule.Cron), { Concurrency = "forbid" } = schedule;
  const sinceMs = lastMs - nowMs > MAX_BACK_MS ? nowMs : lastMs;
  // That of this very moment included.
  const [newest] = times.previousRuns(1, new Date(nowMs + 1)), atMs = newest?.getTime() ?? -Infinity;
  if (atMs <= sinceMs) {
    const next = times.nextRun(new Date(Math.max(sinceMs, nowMs)));
    return { kind: "wait", untilMs: next?.getTime() ?? Infinity };
  }
  if (atMs !== awaitedMs && nowMs - atMs >= patienceMs(schedule)) {
    return { kind: "note", atMs, state: "missed", reason: "nothing could run it in time" };
  }
  if (alive > 0 && Concurrency === "forbid") {
    return { kind: "note", atMs, state: "skipped", reason: "the run before it was still going" };
  }
  if (alive > 0 && Concurrency === "replace") return { kind: "replace", atMs };
  if (alive >= MAX_ALIVE) {
    return { kind: "note", atMs, state: "skipped", reason: `${alive} runs were going already` };
  }
  return { kind: "run", atMs };
}

/** How late a run may begin. */
function patienceMs({ Missed = "skip", Deadline }: Schedule): number {
  return Missed === "skip" ? IN_TIME_MS : toMs(Deadline, Infinity);
}
