/**
 * Grants tasks what the cluster shares out (addresses, ports) before they are scheduled (SwarmKit
 * `manager/allocator`).
 */
import { timestamp } from "../../api/clock.ts";
import type { Task } from "../../api/task.ts";
import type { Commit, WriteTransaction } from "../store/store.ts";
import { type ComponentOptions, LoopComponent } from "../leader/commit_loop.ts";
import { showOnTask } from "../leader/show_reason.ts";
import { isWanted, withStatus } from "../task/task.ts";

/** One who must agree before a task can go on. */
export interface AllocationVoter {
  readonly name: string;
  /**
   * Gives `task` its share within `tx`; false leaves the task `new`, to be asked about again at the task's
   * next change.
   */
  allocate(tx: WriteTransaction, task: Task): boolean;
}

/** Moves tasks from `new` to `pending` once every voter agrees; there need not be any. */
export class Allocator extends LoopComponent {
  readonly #tasks = this.list("task", showOnTask(this.options));

  constructor(options: ComponentOptions, readonly voters: readonly AllocationVoter[] = []) {
    super("allocator", options);
  }

  protected override resync(): void {
    for (const task of this.options.store.all("tasks")) this.#look(task);
  }

  #look(task: Task): void {
    if (task.Status.State === "new") this.#tasks.add(task.ID);
  }

  protected override onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table === "tasks" && change.action !== "remove") this.#look(change.object);
    }
    return this.#tasks.size > 0;
  }

  protected override async run(): Promise<void> {
    const { store, clock } = this.options;
    const at = timestamp(clock);
    await this.#tasks.commit(store, (tx, id) => {
      const task = tx.get("tasks", id);
      if (task?.Status.State !== "new") return;
      if (isWanted(task) && !this.voters.every((voter) => voter.allocate(tx, task))) return;
      tx.update("tasks", withStatus(task, at, "pending", "pending task scheduling"));
    });
  }
}
