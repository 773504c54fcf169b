/** Whether a task that ended is run again in place, while no manager can be asked for a replacement. Pure. */
import { toMs } from "../api/duration.ts";
import type { RestartPolicy } from "../api/service.ts";
import type { TaskState } from "../api/task_state.ts";

/** SwarmKit's default restart delay. */
const DEFAULT_DELAY_MS = 5000;

/**
 * Milliseconds until the restart of a task that ended as `state`; undefined if its policy has it rest. `restarts` are the
 * times (monotonic milliseconds) of the restarts made so far, `now` is the same clock.
 */
export function localRestartDelay(
  policy: RestartPolicy | undefined,
  state: TaskState,
  restarts: readonly number[],
  now: number,
): number | undefined {
  const condition = policy?.Condition ?? "any";
  if (condition === "none" || (condition === "on-failure" && state === "complete")) return undefined;
  const max = policy?.MaxAttempts ?? 0;
  const windowMs = toMs(policy?.Window, 0);
  const recent = windowMs > 0 ? restarts.filter((at) => now - at < windowMs) : restarts;
  if (max > 0 && recent.length >= max) return undefined;
  return toMs(policy?.Delay, DEFAULT_DELAY_MS);
}

/**
 * True if a job's task that the machine's end cut short is run again in place at once. One that may run only once is
 * reported as failed, and so is one whose attempts are counted: the manager counts them, across reboots too.
 */
export function isRunAgainAfterReboot(policy: RestartPolicy | undefined): boolean {
  return policy?.Condition !== "none" && (policy?.MaxAttempts ?? 0) === 0;
}
