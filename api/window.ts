/** Times at which something may begin: each opens when its cron expression says so, and stays open for a while. */
import { Cron } from "croner";
import { toMs } from "./duration.ts";

/**
 * A maintenance window, in the device's own time zone. `Grace` in nanoseconds.
 *
 * @example
 * ```ts
 * const nights: MaintenanceWindow = { Cron: "0 2 * * *", Grace: 2 * 3600e9 };
 * ```
 */
export interface MaintenanceWindow {
  /** Minute, hour, day of the month, month, day of the week. */
  Cron: string;
  /** How long after that it may still begin. */
  Grace: number;
}

/** What is wrong with a cron expression; undefined if it is one that comes true. */
export function cronProblem(cron: string): string | undefined {
  try {
    return new Cron(cron).nextRun() === null ? "never comes" : undefined;
  } catch (thrown) {
    return `cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  }
}

/** When the window opens next, in Unix milliseconds; undefined if it is open at `nowMs`. Infinity for one that never does. */
export function opensAt({ Cron: cron, Grace }: MaintenanceWindow, nowMs: number): number | undefined {
  const times = new Cron(cron), graceMs = toMs(Grace, 0);
  const since = times.nextRun(new Date(nowMs - graceMs));
  if (since === null) return Infinity;
  return since.getTime() <= nowMs ? undefined : since.getTime();
}
