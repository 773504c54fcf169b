/**
 * Knows how long each task has stood still, and what a healed cluster must not leave standing: whatever the leader once
 * decided and could not write at once, somebody must still intend.
 */
import { isCompletedJob, slotKey, type Task } from "../../../api/task.ts";
import { compareStates, isTerminal } from "../../../api/task_state.ts";
import type { Commit, ReadView } from "../../../manager/store/store.ts";
import { goalOf, isOfIteration, isWanted } from "../../../manager/task/task.ts";
import type { World } from "./world.ts";

/** Longer than anything takes in a healed cluster: delays and programs of these runs last 4 s at most. */
export const MAX_STANDING_MS = 15_000;

/** Watches one run, and finds what its healed cluster has forgotten. */
export class IntentChecker {
  readonly #world: World;
  /** When a task last changed. */
  readonly #changedAt = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** The first manager tells of a commit. */
  sees({ changes }: Commit): void {
    for (const { table, object, action } of changes) {
      if (table !== "tasks") continue;
      if (action === "remove") this.#changedAt.delete(object.ID);
      else this.#changedAt.set(object.ID, this.#world.now);
    }
  }

  /** What a healed cluster must not have, with the first example; undefined if it is well. */
  forgotten(state: ReadView): string | undefined {
    for (const task of state.all("tasks")) {
      const problem = this.#stands(task) ? forgottenTask(task) : undefined;
      if (problem) return problem;
    }
    return unspentAttempts(state);
  }

  #stands({ ID }: Task): boolean {
    return this.#world.now - (this.#changedAt.get(ID) ?? this.#world.now) > MAX_STANDING_MS;
  }
}

/** What somebody should have done about a task that has not changed for long. */
function forgottenTask(task: Task): string | undefined {
  const { ID, DesiredState, Status } = task;
  if (DesiredState === "ready") return `task ${ID} waits for a start that nobody will give`;
  const shallRun = DesiredState === goalOf(task) && !isCompletedJob(task);
  if (shallRun && isTerminal(Status.State)) {
    return `task ${ID} has ended as ${Status.State} and is not replaced`;
  }
  if (shallRun && compareStates(Status.State, "running") < 0) {
    return `task ${ID} is ${Status.State} and nobody brings it further`;
  }
  if (DesiredState === "remove") return `task ${ID} is to be removed and nobody does it`;
  return undefined;
}

/** A slot at rest has used up its attempts: no restart was counted that did not happen. */
function unspentAttempts(state: ReadView): string | undefined {
  for (const tasks of Map.groupBy(state.all("tasks"), slotKey).values()) {
    const newest = tasks.at(-1)!, attempts = restAfter(newest);
    const alike = tasks.filter(({ SpecVersion }) => SpecVersion?.Index === newest.SpecVersion?.Index);
    const service = state.get("services", newest.ServiceID);
    // What an earlier run of a job left was ended with it.
    if (service && !isOfIteration(service, newest)) continue;
    if (attempts === undefined || alike.some(isCompletedJob)) continue;
    // Devices restart in place while no manager is in reach.
    const made = alike.length + alike.flatMap(({ Status }) => Status.Restarts ?? []).length;
    if (made < attempts + 1) {
      return `slot ${slotKey(newest)} rests after ${made} runs, of ${attempts} restarts permitted`;
    }
  }
  return undefined;
}

/** The restarts after which `task`, the newest of its slot, rests; undefined if it does not rest. */
export function restAfter(task: Task): number | undefined {
  const attempts = task.Spec.RestartPolicy?.MaxAttempts ?? 0;
  return attempts > 0 && isTerminal(task.Status.State) && !isWanted(task) && task.DesiredState !== "remove"
    ? attempts
    : undefined;
}

/** A node that nobody hears from is down. */
export function unseenSilence(state: ReadView, node: string): string | undefined {
  const status = state.get("nodes", node)?.Status.State;
  return status === "down" ? undefined : `node ${node} is silent and ${status}`;
}
