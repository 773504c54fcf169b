/** What a job still has to do, judged by its tasks. Pure. */
import type { Service, ServiceMode } from "../../../api/service.ts";
import { isCompletedJob, type Task } from "../../../api/task.ts";
import { isTerminal } from "../../../api/task_state.ts";
import { isOfIteration, isWanted } from "../../task/task.ts";
import type { Verdict } from "../service_orchestrator.ts";

/** How often a replicated job runs, and how often at once. */
type Times = Extract<ServiceMode, { ReplicatedJob: unknown }>["ReplicatedJob"];

/**
 * The slots (from 0 on) in which a replicated job starts a task now. `tasks` are those of its present run. A slot that
 * completed, or whose restart policy gave up, is used up; of the others at most `MaxConcurrent` are at work.
 */
export function slotsToStart({ MaxConcurrent, TotalCompletions }: Times, tasks: readonly Task[]): number[] {
  const used = new Set(tasks.map(({ Slot }) => Slot));
  const working = new Set(
    tasks.filter((task) => isWanted(task) && !isCompletedJob(task)).map(({ Slot }) => Slot),
  );
  const free: number[] = [];
  for (let slot = 0; slot < TotalCompletions && working.size + free.length < MaxConcurrent; slot++) {
    if (!used.has(slot)) free.push(slot);
  }
  return free;
}

/** `verdict` on a task as on one of a service that is no job, but for what is done or of an earlier run. */
export function jobVerdict(service: Service, task: Task, verdict: () => Verdict): Verdict {
  if (isCompletedJob(task)) return "keep";
  if (isOfIteration(service, task)) return verdict();
  // One that still runs is the reconciliation's to remove.
  return isTerminal(task.Status.State) ? "end" : "keep";
}
