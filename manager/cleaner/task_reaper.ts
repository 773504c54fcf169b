/** Deletes tasks that nobody needs any more (SwarmKit `manager/orchestrator/taskreaper`). */
import { clusterOf } from "../cluster/cluster_object.ts";
import type { CancelTimer } from "../../api/clock.ts";
import type { Cluster } from "../../api/cluster.ts";
import type { Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Commit, ReadView } from "../store/store.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import { isWanted, slotKey } from "../task/task.ts";

/** Milliseconds from the first dirty slot to the next look. */
const REAPER_BATCHING_MS = 250;
/** Dirty slots and tasks at which the reaper does not wait any longer (SwarmKit `maxDirty`). */
const MAX_DIRTY = 1000;
/** Tasks kept per slot when the cluster does not say (SwarmKit's default). */
const DEFAULT_TASK_HISTORY = 5;

function historyLimit(cluster: Cluster | undefined): number {
  return cluster?.Spec.Orchestration.TaskHistoryRetentionLimit ?? DEFAULT_TASK_HISTORY;
}

/** True for a task marked `remove` that no agent has, and for one that lost both its node and its service. */
function isGarbage(view: Pick<ReadView, "get">, task: Task): boolean {
  const { State } = task.Status;
  if (task.DesiredState === "remove") {
    return compareStates(State, "assigned") < 0 || compareStates(State, "complete") >= 0;
  }
  return State === "orphaned" && view.get("services", task.ServiceID) === undefined;
}

/** True if there may be something to reap because of `task`: what shall run and has not ended is never reaped. */
function isSettled(task: Task): boolean {
  return isTerminal(task.Status.State) || !isWanted(task);
}

/** The tasks of a slot (oldest first) to delete, so that `limit` stay, the live one included. */
export function tasksToReap(tasks: readonly Task[], limit: number): Task[] {
  if (limit < 0) return [];
  const deletable = tasks.filter((task) =>
    !isWanted(task) && (isTerminal(task.Status.State) || compareStates(task.Status.State, "assigned") < 0)
  );
  return deletable.slice(0, Math.max(0, tasks.length - limit));
}

/** Keeps the history of every slot short and removes what is marked for removal. */
export class TaskReaper {
  #loop: CommitLoop;
  #slots = new Set<string>();
  #garbage = new Set<string>();
  #cancelTimer: CancelTimer | undefined;
  #due = false;

  constructor(readonly options: ComponentOptions) {
    this.#loop = new CommitLoop("task reaper", options, {
      resync: () => this.#resync(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.#loop.stop();
  }

  #resync(): void {
    this.#lookAtAll();
    this.#due = true;
  }

  #lookAtAll(): void {
    for (const task of this.options.store.all("tasks")) if (isSettled(task)) this.#look(task);
  }

  #look(task: Task): void {
    if (isGarbage(this.options.store, task)) this.#garbage.add(task.ID);
    else this.#slots.add(slotKey(task));
  }

  #onCommit(commit: Commit): boolean {
    const { store, clock } = this.options;
    for (const change of commit.changes) {
      if (change.table === "tasks" && change.action !== "remove") {
        if (change.action === "create" || isSettled(change.object)) this.#look(change.object);
      } else if (change.table === "clusters" && change.action === "update") {
        if (historyLimit(change.object) === historyLimit(change.old)) continue;
        this.#lookAtAll();
      } else if (change.table === "services" && change.action === "remove") {
        for (const task of store.find("tasks", "serviceID", change.object.ID)) this.#look(task);
      }
    }
    const dirty = this.#slots.size + this.#garbage.size;
    if (dirty === 0 || this.#due) return this.#due;
    if (dirty > MAX_DIRTY) this.#due = true;
    else {
      this.#cancelTimer ??= clock.setTimer(REAPER_BATCHING_MS, () => {
        this.#due = true;
        this.#loop.wake();
      });
    }
    return this.#due;
  }

  async #run(): Promise<void> {
    if (!this.#due) return;
    this.#due = false;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const { store } = this.options;
    const doomed = [...this.#garbage];
    for (const key of this.#slots) {
      const tasks = store.find("tasks", "slot", key);
      if (tasks.length > 1) doomed.push(...tasksToReap(tasks, this.#limit(tasks[0]!)).map((task) => task.ID));
    }
    this.#garbage.clear();
    this.#slots.clear();
    await store.batch(doomed, (tx, id) => {
      const task = tx.get("tasks", id);
      if (task && (isGarbage(tx, task) || !isWanted(task))) tx.delete("tasks", id);
    });
  }

  /** A limited number of attempts needs all of them in the history, to be counted by the next leader. */
  #limit(task: Task): number {
    const { store } = this.options;
    const attempts = store.get("services", task.ServiceID)?.Spec.TaskTemplate.RestartPolicy?.MaxAttempts ?? 0;
    const limit = historyLimit(clusterOf(store));
    return attempts > 0 && limit >= 0 ? attempts + 1 : limit;
  }
}
