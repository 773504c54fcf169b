/**
 * Grants tasks what the cluster shares out (addresses, ports) before they are scheduled (SwarmKit
 * `manager/allocator`).
 */
import { timestamp } from "../../api/clock.ts";
import type { Task } from "../../api/task.ts";
import type { Commit } from "../store/store.ts";
import { type ComponentOptions, LoopComponent } from "../leader/commit_loop.ts";
import { showOnTask } from "../leader/show_reason.ts";
import { isWanted, withStatus } from "../task/task.ts";
import type { AllocationVoter, TaskShare, Vote } from "./voter.ts";

/**
 * Moves tasks from `new` to `pending` once every voter agrees; there need not be any. A task that has to wait says why, and
 * is voted on again when it changes, and when a voter says so.
 */
export class Allocator extends LoopComponent {
  readonly #tasks = this.list("task", showOnTask(this.options));

  constructor(options: ComponentOptions, readonly voters: readonly AllocationVoter[] = []) {
    super("allocator", options);
    for (const voter of voters) {
      voter.join?.({
        options,
        list: (kind, show) => this.list(kind, show),
        look: (id) => this.#tasks.add(id),
      });
    }
  }

  protected override resync(): void {
    for (const voter of this.voters) voter.resync?.();
    for (const task of this.options.store.all("tasks")) this.#look(task);
  }

  #look(task: Task): void {
    if (task.Status.State === "new") this.#tasks.add(task.ID);
  }

  protected override onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table === "tasks" && change.action !== "remove") this.#look(change.object);
    }
    let hasWork = false;
    for (const voter of this.voters) hasWork = (voter.onCommit?.(commit) ?? false) || hasWork;
    return hasWork || this.#tasks.size > 0;
  }

  protected override async run(): Promise<void> {
    for (const voter of this.voters) await voter.prepare?.();
    const { store, clock } = this.options;
    const at = timestamp(clock);
    // Voted on before the transactions, which may be run and then refused.
    const votes = new Map<string, Vote>();
    for (const id of this.#tasks.take()) {
      const task = store.get("tasks", id);
      if (task?.Status.State === "new") this.#tasks.attempt(id, () => votes.set(id, this.#ballot(task)));
    }
    await store.batch(votes, (tx, [id, vote]) => {
      const task = tx.get("tasks", id);
      if (task?.Status.State !== "new") return;
      if (!isWanted(task)) return tx.update("tasks", passed(task, at, {}));
      if ("grant" in vote) return tx.update("tasks", passed(task, at, vote.grant));
      if (task.Status.Err === vote.wait) return;
      tx.update("tasks", withStatus(task, at, "new", task.Status.Message, vote.wait));
    }, ([id], outcome) => {
      if (!outcome.committed) this.#tasks.failed(id, outcome.error);
    });
    this.#tasks.finish();
  }

  /** What all voters say of a task. One that is not wanted any more needs nothing. */
  #ballot(task: Task): Vote {
    const votes = isWanted(task) ? this.voters.map((voter) => voter.vote(task)) : [];
    const waits = votes.flatMap((vote) => "wait" in vote ? [vote.wait] : []);
    if (waits.length > 0) return { wait: waits.join("; ") };
    return { grant: Object.assign({}, ...votes.map((vote) => "grant" in vote ? vote.grant : {})) };
  }
}

function passed(task: Task, at: string, share: TaskShare): Task {
  return withStatus({ ...task, ...share }, at, "pending", "pending task scheduling");
}
