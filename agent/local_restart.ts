/** Whether a task that ended is run again in place, while no manager can be asked for a replacement. Pure. */
import { toMs } from "../api/duration.ts";
import type { RestartPolicy } from "../api/service.ts";
import { MAX_RESTARTS } from "../api/task.ts";
import type { TaskState } from "../api/task_state.ts";

/** SwarmKit's default restart delay. */
const DEFAULT_DELAY_MS = 5000;
/** A task found ended this soon after a reboot ended because of it. */
const REBOOT_GRACE_MS = 2000;

/**
 * Milliseconds until the restart of a task that ended as `state`; undefined if its policy has it rest. `restarts` are the
 * times (RFC 3339) of the restarts made so far, before reboots too; `nowMs` is Unix time.
 */
export function localRestartDelay(
  policy: RestartPolicy | undefined,
  state: TaskState,
  restarts: readonly string[],
  nowMs: number,
): number | undefined {
  const condition = policy?.Condition ?? "any";
  if (condition === "none" || (condition === "on-failure" && state === "complete")) return undefined;
  const max = policy?.MaxAttempts ?? 0;
  const windowMs = toMs(policy?.Window, 0);
  const recent = windowMs > 0 ? restarts.filter((at) => nowMs - Date.parse(at) < windowMs) : restarts;
  if (max > 0 && recent.length >= max) return undefined;
  return toMs(policy?.Delay, DEFAULT_DELAY_MS);
}

/**
 * True if a task found ended `afterMs` after a reboot is run again in place at once, which is no attempt of its own. One
 * that may run only once is reported as ended, and so is a job's whose attempts are counted: to a job, each run is one.
 */
export function isEndOfReboot(policy: RestartPolicy | undefined, isJob: boolean, afterMs: number): boolean {
  if (afterMs >= REBOOT_GRACE_MS || policy?.Condition === "none") return false;
  return !isJob || (policy?.MaxAttempts ?? 0) === 0;
}

/** `restarts` and one more at `at` (RFC 3339), of which the newest are kept. */
export function withRestart(restarts: readonly string[], at: string): string[] {
  return [...restarts, at].slice(-MAX_RESTARTS);
}
