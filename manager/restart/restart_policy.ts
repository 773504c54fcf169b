/**
 * Whether a task that ended, or must end, is followed by another. Pure, and without a memory of its own: what was tried
 * before is read from the tasks that the slot's history kept, so that every leader judges alike.
 */
import { toMs } from "../../api/duration.ts";
import type { Service } from "../../api/service.ts";
import { isCompletedJob, type Task } from "../../api/task.ts";
import { isTerminal } from "../../api/task_state.ts";
import type { ReadView } from "../store/store.ts";
import { isTaskDirty, isWanted, lastToChange } from "../task/task.ts";

/** True if the policy of `task`, one of the tasks of `slot`, asks for a replacement. `nowMs` is Unix time. */
export function shouldRestart(task: Task, slot: readonly Task[], nowMs: number): boolean {
  const { Condition = "any", MaxAttempts = 0 } = task.Spec.RestartPolicy ?? {};
  if (Condition === "none") return false;
  if (Condition === "on-failure" && task.Status.State === "complete") return false;
  // What a job did is done, whatever the policy, and whoever of the slot did it.
  if (slot.some((other) => isCompletedJob(other) && isOfSameRun(other, task))) return false;
  return MaxAttempts === 0 || restarts(task, slot, nowMs) < MaxAttempts;
}

/**
 * How many restarts led up to `task`: those of its spec version (and run of the job), which all but the first task of that
 * version are, and those that devices made of it in place, within the window before its end. What a rollout put there is a
 * first task, too: what was tried before a service went back to this version is not held against it. A task at rest is
 * judged by the same time ever after.
 */
function restarts(task: Task, slot: readonly Task[], nowMs: number): number {
  const windowMs = toMs(task.Spec.RestartPolicy?.Window, 0);
  const until = isTerminal(task.Status.State) || !isWanted(task) ? Date.parse(task.UpdatedAt) : nowMs;
  const since = windowMs === 0 ? -Infinity : until - windowMs;
  const alike = slot.filter((other) => isOfSameRun(other, task));
  const run = alike.slice(Math.max(0, alike.findLastIndex(isByRollout)));
  const times = [
    ...run.slice(1).map(({ CreatedAt }) => CreatedAt),
    ...run.flatMap(({ Status }) => Status.Restarts ?? []),
  ];
  return times.map((time) => Date.parse(time)).filter((at) => at >= since && at <= until).length;
}

/** True for what a rollout put in its place, not a restart. */
function isByRollout({ Rollout }: Task): boolean {
  return Rollout !== undefined && Rollout.Restarted !== true;
}

function isOfSameRun(a: Task, b: Task): boolean {
  return a.SpecVersion?.Index === b.SpecVersion?.Index && a.JobIteration?.Index === b.JobIteration?.Index;
}

/**
 * The tasks of one slot (given in the order of creation) that count: the wanted ones, else the last one if its policy
 * lets it rest. A rollback replaces what rests of another spec, so that it always reaches the previous one everywhere.
 */
export function liveTasks(view: ReadView, service: Service, tasks: readonly Task[], nowMs: number): Task[] {
  const wanted = tasks.filter(isWanted);
  if (wanted.length > 0) return wanted;
  const slot = tasks.filter((task) => task.DesiredState !== "remove");
  const last = lastToChange(slot);
  if (last === undefined || shouldRestart(last, slot, nowMs)) return [];
  const rollsBack = service.UpdateStatus?.State === "rollback_started";
  return rollsBack && isTaskDirty(view, service, last) ? [] : [last];
}
