/** Statuses of a task that no manager has accepted yet. Pure. */
import { compareStates } from "../api/task_state.ts";
import type { TaskStatus } from "../api/task.ts";
import type { TaskRecord } from "./local_state.ts";

/** Of one task at most: the ends of its last programs and their restarts are what somebody looks for after an outage. */
export const MAX_UNSENT_STATUSES = 32;
/** Of one task at most, as JSON: they are kept in one record with its state, which may have 64 KiB. */
const MAX_UNSENT_BYTES = 16 * 1024;

/**
 * What is unsent after `next`, the oldest first. A state never goes back; a step on the way to running, or mere words, take the
 * place of the one before; what says that something is wrong stays.
 */
export function withStatus(unsent: readonly TaskStatus[], next: TaskStatus): TaskStatus[] {
  const last = unsent.at(-1);
  if (last && compareStates(next.State, last.State) < 0) return [...unsent];
  const kept = [...(last && isPassing(last, next) ? unsent.slice(0, -1) : unsent), next];
  if (kept.length > MAX_UNSENT_STATUSES) kept.shift();
  while (kept.length > 1 && JSON.stringify(kept).length > MAX_UNSENT_BYTES) kept.shift();
  return kept;
}

/** What `record` keeps as unsent once its task has come to `status`. What becomes of a run of a scheduled job, its job tells. */
export function unsentAfter(
  { unsent, run }: Pick<TaskRecord, "unsent" | "run">,
  status: TaskStatus,
  isConnected: boolean,
): Pick<TaskRecord, "unsent"> {
  if (run !== undefined || (unsent === undefined && isConnected)) return {};
  return { unsent: withStatus(unsent ?? [], status) };
}

function isPassing(last: TaskStatus, next: TaskStatus): boolean {
  return !last.Err && (compareStates(last.State, "running") < 0 || (last.State === next.State && !next.Err));
}

/**
 * The unsent statuses of many tasks in the order in which they came to be. Those of one task keep theirs, also where the
 * device's clock was set back in between.
 */
export function inOrder(unsent: Iterable<readonly [string, readonly TaskStatus[]]>): [string, TaskStatus][] {
  const all: { at: number; taskID: string; status: TaskStatus }[] = [];
  for (const [taskID, statuses] of unsent) {
    let at = -Infinity;
    for (const status of statuses) {
      at = Math.max(at, Date.parse(status.Timestamp) || at);
      all.push({ at, taskID, status });
    }
  }
  return all.sort((a, b) => a.at - b.at).map(({ taskID, status }) => [taskID, status]);
}
