/** Who must agree before a task can go on, and what a voter works with. */
import type { Task } from "../../api/task.ts";
import type { ComponentOptions } from "../leader/commit_loop.ts";
import type { ShowReason, WorkList } from "../leader/work_list.ts";
import type { Commit } from "../store/store.ts";

/** What a voter gives a task. */
export type TaskShare = Pick<Task, "NetworkAttachments">;

/** A task may go on with `grant`, or has to wait for the reason in words. */
export type Vote = { grant: TaskShare } | { wait: string };

/** The allocator, as a voter sees it. */
export interface Ballot {
  readonly options: ComponentOptions;
  /** See `CommitLoop.list`. */
  list(kind: string, show?: ShowReason): WorkList;
  /** Has a task voted on again. */
  look(taskID: string): void;
}

/**
 * One who must agree before a task can go on. What it gives it keeps for the task, whatever becomes of the write, until the
 * store says that the task has ended; asked again it gives the same.
 */
export interface AllocationVoter {
  readonly name: string;
  /** Called once, before all others. */
  join?(ballot: Ballot): void;
  /** Begins anew from what the store says. */
  resync?(): void;
  /** Notes a commit; true if there is something to prepare. */
  onCommit?(commit: Commit): boolean;
  /** Does what votes rest on. */
  prepare?(): Promise<void>;
  vote(task: Task): Vote;
}
