/** Deletes tasks that nobody needs any more (SwarmKit `manager/orchestrator/taskreaper`). */
import { clusterOf } from "../cluster/cluster_object.ts";
import type { Cluster } from "../../api/cluster.ts";
import { isCompletedJob, slotKey, type Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Commit, ReadView } from "../store/store.ts";
import { type ComponentOptions, LoopComponent } from "../leader/commit_loop.ts";
import { isWanted, lastToChange } from "../task/task.ts";

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

/**
 * The tasks of a slot (oldest first) to delete, so that `limit` stay, the live one included. A slot at rest keeps the task
 * that says so; a job keeps what its present run completed, of earlier runs it is history.
 */
export function tasksToReap(tasks: readonly Task[], limit: number): Task[] {
  if (limit < 0) return [];
  const run = tasks.at(-1)?.JobIteration?.Index;
  const isLive = (task: Task) =>
    isWanted(task) && !(isCompletedJob(task) && task.JobIteration?.Index !== run);
  const resting = tasks.some(isLive) ? undefined : lastToChange(tasks);
  const deletable = tasks.filter((task) =>
    !isLive(task) && task !== resting &&
    (isTerminal(task.Status.State) || compareStates(task.Status.State, "assigned") < 0)
  );
  return deletable.slice(0, Math.max(0, tasks.length - limit));
}

/** Keeps the history of every slot short and removes what is marked for removal. */
export class TaskReaper extends LoopComponent {
  readonly #slots = this.list("slot");
  /** Tasks to be deleted. */
  readonly #doomed = this.list("task");
  #due = false;

  constructor(options: ComponentOptions) {
    super("task reaper", options);
  }

  protected resync(): void {
    this.#lookAtAll();
    this.#due = true;
  }

  #lookAtAll(): void {
    for (const task of this.options.store.all("tasks")) if (isSettled(task)) this.#look(task);
  }

  #look(task: Task): void {
    if (isGarbage(this.options.store, task)) this.#doomed.add(task.ID);
    else this.#slots.add(slotKey(task));
  }

  protected onCommit(commit: Commit): boolean {
    const { store } = this.options;
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
    return this.#isTime();
  }

  /** True if it is time to work; if there is something to do a little later, that is arranged. */
  #isTime(): boolean {
    const dirty = this.#slots.size + this.#doomed.size;
    if (dirty === 0 || this.#due) return this.#due;
    if (dirty > MAX_DIRTY) this.#due = true;
    else this.wakeLater(REAPER_BATCHING_MS, () => this.#due = true);
    return this.#due;
  }

  protected async run(): Promise<void> {
    if (!this.#isTime()) return;
    this.#due = false;
    const { store } = this.options;
    for (const key of this.#slots.take()) {
      const tasks = store.find("tasks", "slot", key);
      if (tasks.length < 2) continue;
      this.#slots.attempt(key, () => {
        for (const { ID } of tasksToReap(tasks, this.#limit(tasks))) this.#doomed.add(ID);
      });
    }
    this.#slots.finish();
    await this.#doomed.commit(store, (tx, id) => {
      const task = tx.get("tasks", id);
      if (task && (isGarbage(tx, task) || !isWanted(task) || isCompletedJob(task))) tx.delete("tasks", id);
    });
  }

  /** A limited number of attempts needs all of them in the history, to be counted: by each task's own policy. */
  #limit(tasks: readonly Task[]): number {
    const { store } = this.options;
    const service = store.get("services", tasks[0]!.ServiceID);
    const specs = [...tasks.map(({ Spec }) => Spec), service?.Spec.TaskTemplate];
    const attempts = Math.max(...specs.map((spec) => spec?.RestartPolicy?.MaxAttempts ?? 0));
    const limit = historyLimit(clusterOf(store));
    return attempts > 0 && limit >= 0 ? attempts + 1 : limit;
  }
}
