/** Runs of a scheduled job as the device keeps and tells of them. Pure. */
import { MAX_RUNS, type ScheduledRun } from "../../api/schedule.ts";
import type { Task, TaskStatus } from "../../api/task.ts";
import type { TaskRecord } from "../local_state.ts";

/**
 * What is kept of the run of `task` for the time `atMs`, begun at `now` (RFC 3339): a task of its own on the device. A run
 * that a policy does not ask for again runs once, whatever happens to it.
 */
export function runRecord(task: Task, atMs: number, now: string): TaskRecord {
  const { Schedule: _, RestartPolicy = { Condition: "none" as const }, ...Spec } = task.Spec;
  const ID = `${task.ID}${Math.floor(atMs / 1000).toString(36)}`;
  const status: TaskStatus = { Timestamp: now, State: "assigned", Message: "its time has come" };
  return {
    task: { ...task, ID, Spec: { ...Spec, RestartPolicy }, DesiredState: "complete", Status: status },
    status,
    assigned: true,
    run: { of: task.ID, at: new Date(atMs).toISOString() },
  };
}

/** `runs` with `run` in the place of the one for its time, or after all of them; the newest are kept. */
export function withRun(runs: readonly ScheduledRun[], run: ScheduledRun): ScheduledRun[] {
  const index = runs.findIndex(({ Scheduled }) => Scheduled === run.Scheduled);
  const next = index < 0 ? [...runs, run] : runs.with(index, run);
  return next.slice(-MAX_RUNS);
}

/** `run` as it ended by the status of its task. */
export function endedRun(
  run: ScheduledRun,
  { State, Timestamp, Err, ContainerStatus }: TaskStatus,
): ScheduledRun {
  const state = State === "complete" ? "complete" : State === "shutdown" ? "stopped" : "failed";
  return {
    ...run,
    State: state,
    EndedAt: Timestamp,
    ...(ContainerStatus && state !== "stopped" && { ExitCode: ContainerStatus.ExitCode }),
    ...(Err && { Reason: Err }),
  };
}

/** Why the last run that ended did not do well, in words; undefined where it did. */
export function lastFailure(runs: readonly ScheduledRun[]): string | undefined {
  const last = runs.findLast(({ State }) => State === "complete" || State === "failed");
  if (last?.State !== "failed") return undefined;
  return `the run of ${last.Scheduled} failed: ${last.Reason ?? `exit code ${last.ExitCode}`}`;
}
