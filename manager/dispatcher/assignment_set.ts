/** What one node has been told to run, and what it has yet to be told. Pure. */
import { isDeepStrictEqual } from "node:util";
import type { AssignmentChange } from "../../api/dispatcher.ts";
import { compareStates } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";

/** Bytes of tasks in one message: a frame of 4 MiB holds it, with a last task of the largest size. */
const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;
/** Bytes of a UTF-16 unit of JSON at most, in UTF-8; numbers take no more. */
const BYTES_PER_UNIT = 3;

/** Specs and annotations are shared by tasks and never change. */
const unitsOf = new WeakMap<object, number>();

/** Bytes of a task at most. */
function taskBytes({ Spec, ServiceAnnotations, ...rest }: Task): number {
  return (units(Spec) + units(ServiceAnnotations) + JSON.stringify(rest).length) * BYTES_PER_UNIT;
}

function units(part: object): number {
  let known = unitsOf.get(part);
  if (known === undefined) unitsOf.set(part, known = JSON.stringify(part).length);
  return known;
}

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

  /** Takes up to `max` changes, oldest first, and no more than a message may have bytes. */
  take(max: number): AssignmentChange[] {
    const taken: AssignmentChange[] = [];
    let bytes = 0;
    for (const [id, change] of this.#pending) {
      bytes += change.Action === "update" ? taskBytes(change.Task) : 0;
      if (taken.length === max || (taken.length > 0 && bytes > MAX_MESSAGE_BYTES)) break;
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
