/** What one node has been told to run, and what it has yet to be told. Pure. */
import { isDeepStrictEqual } from "node:util";
import type { AssignmentChange } from "../../api/dispatcher.ts";
import { compareStates } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";

/** True for tasks that belong to a node's set: assigned or later, and not given up as orphaned. */
function isAssigned(task: Task): boolean {
  return compareStates(task.Status.State, "assigned") >= 0 && task.Status.State !== "orphaned";
}

/** Keeps the newest version of every task of a node and the changes not taken yet, merged by task. */
export class AssignmentSet {
  readonly #known = new Map<string, Task>();
  readonly #pending = new Map<string, AssignmentChange>();

  /** Starts with the complete set, every task of it pending. */
  constructor(tasks: Iterable<Task>) {
    for (const task of tasks) this.update(task);
  }

  /** Changes not taken yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Notes the newest version of a task of this node. What the agent reported itself (status) is no change for it, so that
   * its reports are not echoed.
   */
  update(task: Task): void {
    if (!isAssigned(task)) return this.remove(task.ID);
    const known = this.#known.get(task.ID);
    this.#known.set(task.ID, task);
    if (known && !this.#pending.has(task.ID) && sameForAgent(known, task)) return;
    this.#pending.set(task.ID, { Action: "update", Kind: "task", Task: task });
  }

  /** Notes that a task left this node's set. */
  remove(id: string): void {
    if (!this.#known.delete(id)) return;
    this.#pending.set(id, { Action: "remove", Kind: "task", ID: id });
  }

  /** Takes up to `max` changes, oldest first. */
  take(max: number): AssignmentChange[] {
    const taken: AssignmentChange[] = [];
    for (const [id, change] of this.#pending) {
      if (taken.length === max) break;
      taken.push(change);
      this.#pending.delete(id);
    }
    return taken;
  }
}

function sameForAgent(a: Task, b: Task): boolean {
  return a.DesiredState === b.DesiredState &&
    same(a.Spec, b.Spec) &&
    same(a.ServiceAnnotations, b.ServiceAnnotations) &&
    same(a.AssignedGenericResources, b.AssignedGenericResources) &&
    same(a.Ports, b.Ports);
}

function same(a: unknown, b: unknown): boolean {
  return a === b || isDeepStrictEqual(a, b);
}
