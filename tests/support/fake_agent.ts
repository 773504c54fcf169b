/**
 * Nodes that do what an agent would, through the store: they take assigned tasks to `running` and stop
 * unwanted ones.
 */
import type { Task, TaskStatus } from "../../api/task.ts";
import { compareStates, isTerminal, type TaskState } from "../../api/task_state.ts";
import type { Store } from "../../manager/store/store.ts";
import { withReport } from "../../manager/task/task.ts";

/** What becomes of a task that shall run: the state it reaches; undefined leaves it as it is. */
export type Fate = (task: Task) => TaskState | undefined;

/** Drives the tasks of all nodes of a store but those in `offline`. */
export class FakeAgents {
  readonly offline = new Set<string>();
  /** Tasks whose state was reported, in order: `taskID state`. */
  readonly log: string[] = [];
  #unsubscribe: () => void;
  #busy = new Set<Promise<unknown>>();

  constructor(
    readonly store: Store,
    public fate: Fate = () => "running",
    readonly now = () => new Date().toISOString(),
  ) {
    this.#unsubscribe = store.subscribe((commit) => {
      for (const change of commit.changes) {
        if (change.table === "tasks" && change.action !== "remove") this.#look(change.object);
      }
    });
    this.kick();
  }

  /** Looks at every task again, after `fate` or `offline` changed. */
  kick(): void {
    for (const task of this.store.all("tasks")) this.#look(task);
  }

  /** Reports a state of a task as its agent would. */
  async report(taskID: string, state: TaskState, extra: Partial<TaskStatus> = {}): Promise<void> {
    const work = this.store.update((tx) => {
      const task = tx.get("tasks", taskID);
      if (task === undefined || compareStates(task.Status.State, state) >= 0) return;
      this.log.push(`${taskID} ${state}`);
      const status = { ...task.Status, ...extra, State: state, Message: state };
      tx.update("tasks", withReport(task, status, this.now()));
    });
    this.#busy.add(work);
    await work.finally(() => this.#busy.delete(work));
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await Promise.all(this.#busy);
  }

  #look(task: Task): void {
    const { State } = task.Status;
    if (task.NodeID === "" || this.offline.has(task.NodeID)) return;
    if (compareStates(State, "assigned") < 0 || isTerminal(State)) return;
    if (compareStates(task.DesiredState, "complete") > 0) return void this.report(task.ID, "shutdown");
    if (task.DesiredState === "ready") return void this.report(task.ID, "ready");
    const next = this.fate(task);
    if (next && compareStates(State, next) < 0) void this.report(task.ID, next);
  }
}
