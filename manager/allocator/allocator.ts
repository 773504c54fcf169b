/** Grants tasks what the cluster shares out (addresses, ports) before they are scheduled (SwarmKit `manager/allocator`). */
import type { Task } from "../../api/task.ts";
import type { Commit, WriteTransaction } from "../store/store.ts";
import { CommitLoop, type ComponentOptions } from "../orchestrator/commit_loop.ts";
import { isWanted, withStatus } from "../orchestrator/task.ts";

/** One who must agree before a task can go on. */
export interface AllocationVoter {
  readonly name: string;
  /** Gives `task` its share within `tx`; false leaves the task `new`, to be asked about again at the task's next change. */
  allocate(tx: WriteTransaction, task: Task): boolean;
}

/** Moves tasks from `new` to `pending` once every voter agrees; there need not be any. */
export class Allocator {
  #loop: CommitLoop;
  #tasks = new Set<string>();

  constructor(readonly options: ComponentOptions, readonly voters: readonly AllocationVoter[] = []) {
    this.#loop = new CommitLoop("allocator", options, {
      resync: () => {
        for (const task of options.store.all("tasks")) this.#look(task);
      },
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  #look(task: Task): void {
    if (task.Status.State === "new") this.#tasks.add(task.ID);
  }

  #onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table === "tasks" && change.action !== "remove") this.#look(change.object);
    }
    return this.#tasks.size > 0;
  }

  async #run(): Promise<void> {
    const { store, clock } = this.options;
    const taskIDs = [...this.#tasks];
    this.#tasks.clear();
    await store.batch(taskIDs, (tx, id) => {
      const task = tx.get("tasks", id);
      if (task?.Status.State !== "new") return;
      if (isWanted(task) && !this.voters.every((voter) => voter.allocate(tx, task))) return;
      tx.update("tasks", withStatus(task, clock, "pending", "pending task scheduling"));
    });
  }
}
