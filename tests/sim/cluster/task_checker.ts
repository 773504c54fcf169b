/** Rules for tasks, checked on each change of the cluster's state and on each program that starts on a device. */
import { slotKey, type Task } from "../../../api/task.ts";
import { compareStates, isTerminal } from "../../../api/task_state.ts";
import { goalOf } from "../../../manager/task/task.ts";
import type { Commit } from "../../../manager/store/store.ts";
import { Violation } from "../raft/checker.ts";
import type { World } from "./world.ts";

/** Follows every task through its states, and every program on its device. */
export class TaskChecker {
  readonly #world: World;
  /** True while the first manager applies an entry: then what it tells is what happens to the cluster. */
  first = false;
  readonly #tasks = new Map<string, Task>();
  readonly #slots = new Map<string, Set<string>>();
  /** Tasks that were to run on a node at some time. */
  readonly #assigned = new Set<string>();
  /** Programs started so far. */
  started = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** A manager tells of a commit. */
  sees({ changes }: Commit): void {
    if (!this.first) return;
    const touched = new Set<string>();
    for (const change of changes) {
      if (change.table !== "tasks") continue;
      const { ID } = change.object;
      if (change.action === "remove") {
        this.#slots.get(slotKey(change.object))?.delete(ID);
        this.#tasks.delete(ID);
      } else {
        this.#take(change.object);
        touched.add(slotKey(change.object));
      }
    }
    for (const slot of touched) this.#checkSlot(slot);
  }

  /** A program starts on a node. */
  starts(node: string, taskID: string): void {
    this.started++;
    this.#world.log.note(`${node} starts task ${taskID}`);
    if (this.#assigned.has(`${taskID}@${node}`)) return;
    throw new Violation("TM", `${node} starts task ${taskID}, which it was never given`);
  }

  /** TM: neither state goes back, and a task stays on its node. */
  #take(task: Task): void {
    const { ID, Status, DesiredState, NodeID } = task;
    const before = this.#tasks.get(ID);
    if (before) {
      if (compareStates(Status.State, before.Status.State) < 0) {
        throw new Violation("TM", `task ${ID} goes back from ${before.Status.State} to ${Status.State}`);
      }
      if (compareStates(DesiredState, before.DesiredState) < 0) {
        throw new Violation("TM", `task ${ID} is wanted ${DesiredState} after ${before.DesiredState}`);
      }
      if (before.NodeID !== "" && before.NodeID !== NodeID) {
        throw new Violation("TM", `task ${ID} moves from ${before.NodeID} to ${NodeID}`);
      }
    }
    if (NodeID !== "" && compareStates(Status.State, "assigned") >= 0) this.#assigned.add(`${ID}@${NodeID}`);
    this.#tasks.set(ID, task);
    const slot = slotKey(task);
    if (before && slotKey(before) !== slot) this.#slots.get(slotKey(before))?.delete(ID);
    const ids = this.#slots.get(slot);
    if (ids) ids.add(ID);
    else this.#slots.set(slot, new Set([ID]));
  }

  /** A slot has one task that shall run and has not ended; services here are updated by stopping the old one first. */
  #checkSlot(slot: string): void {
    const running: string[] = [];
    for (const id of this.#slots.get(slot) ?? []) {
      const task = this.#tasks.get(id)!;
      if (task.DesiredState === goalOf(task) && !isTerminal(task.Status.State)) running.push(id);
    }
    if (running.length > 1) throw new Violation("TM", `slot ${slot} shall run ${running.join(" and ")}`);
  }
}
