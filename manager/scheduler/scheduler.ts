/** Assigns pending tasks to nodes (SwarmKit `manager/scheduler`). */
import { timestamp } from "../../api/clock.ts";
import type { Task } from "../../api/task.ts";
import { isTerminal } from "../../api/task_state.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import { Debounce } from "../leader/debounce.ts";
import { isWanted, withStatus } from "../task/task.ts";
import type { Change, Commit, WriteTransaction } from "../store/store.ts";
import { explain, roomFor } from "./filters.ts";
import { groupKey, NodeInfo, occupies } from "./node_info.ts";
import { createPlacer } from "./spread.ts";

/** Milliseconds without a commit after which tasks are placed, so that one decision sees all of them. */
const COMMIT_DEBOUNCE_MS = 50;
/** Milliseconds after which tasks are placed although commits keep coming. */
const MAX_LATENCY_MS = 1000;

/** What is to be written for one task: a node, or the reason why there is none. */
interface Decision {
  task: Task;
  assigned: boolean;
}

/**
 * The scheduler. Tasks without a node wait for a quiet moment and are placed in groups of equals; tasks of a
 * preset node are only validated, and at once.
 */
export class Scheduler {
  #loop: CommitLoop;
  #debounce: Debounce;
  #infos = new Map<string, NodeInfo>();
  #unassigned = new Map<string, Task>();
  /** Tasks of a preset node that are to be validated, and those that did not fit, by node. */
  #preassigned = new Map<string, Task>();
  #misfits = new Map<string, Map<string, Task>>();
  #stale = new Set<string>();
  #placing = false;
  /** Time of the step in progress, for the statuses it writes. */
  #at = "";

  constructor(readonly options: ComponentOptions) {
    this.#loop = new CommitLoop("scheduler", options, {
      resync: () => this.#resync(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
    this.#debounce = new Debounce(options.clock, COMMIT_DEBOUNCE_MS, MAX_LATENCY_MS, () => {
      this.#placing = true;
      this.#loop.wake();
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#debounce.cancel();
    await this.#loop.stop();
  }

  #resync(): void {
    const { store } = this.options;
    this.#infos.clear();
    for (const waiting of [this.#unassigned, this.#preassigned, this.#misfits, this.#stale]) waiting.clear();
    for (const node of store.all("nodes")) this.#infos.set(node.ID, new NodeInfo(node));
    for (const task of store.all("tasks")) this.#enqueue(task);
    this.#placing = true;
  }

  #onCommit(commit: Commit): boolean {
    let relevant = false;
    for (const change of commit.changes) {
      if (change.table === "tasks") relevant = this.#onTask(change) || relevant;
      else if (change.table === "nodes") relevant = this.#onNode(change) || relevant;
    }
    if (this.#debounce.waiting || (relevant && this.#unassigned.size > 0)) this.#debounce.touch();
    return this.#preassigned.size > 0 || this.#stale.size > 0;
  }

  #onNode(change: Extract<Change, { table: "nodes" }>): boolean {
    const node = change.object;
    const info = this.#infos.get(node.ID);
    if (change.action === "remove") {
      this.#infos.delete(node.ID);
    } else if (info) {
      info.node = node;
    } else {
      const fresh = new NodeInfo(node);
      this.#infos.set(node.ID, fresh);
      for (const task of this.options.store.find("tasks", "nodeID", node.ID)) {
        if (occupies(task)) fresh.put(task);
      }
    }
    this.#retryMisfits(node.ID);
    return true;
  }

  #onTask(change: Extract<Change, { table: "tasks" }>): boolean {
    const { object: task, old } = change;
    if (change.action === "remove") return this.#forget(task);
    const failed = task.Status.State === "failed" || task.Status.State === "rejected";
    if (failed && old && !isTerminal(old.Status.State) && task.Slot > 0 && isWanted(old)) {
      this.#infos.get(task.NodeID)?.addFailure(groupKey(task), this.options.clock.monotonic());
    }
    return this.#enqueue(task);
  }

  /** Puts `task` where it belongs; true if it may be time to place tasks. */
  #enqueue(task: Task): boolean {
    if (task.Status.State !== "pending") {
      if (!occupies(task)) return this.#forget(task);
      this.#drop(task);
      this.#infos.get(task.NodeID)?.put(task);
      return !isWanted(task);
    }
    if (!isWanted(task)) {
      this.#drop(task);
      if (task.DesiredState !== "remove") this.#stale.add(task.ID);
    } else if (task.NodeID === "") {
      const known = this.#unassigned.has(task.ID);
      this.#unassigned.set(task.ID, task);
      return !known;
    } else {
      const misfits = this.#misfits.get(task.NodeID);
      if (misfits?.has(task.ID)) misfits.set(task.ID, task);
      else this.#preassigned.set(task.ID, task);
    }
    return false;
  }

  #drop(task: Task): void {
    this.#unassigned.delete(task.ID);
    this.#preassigned.delete(task.ID);
    const misfits = this.#misfits.get(task.NodeID);
    misfits?.delete(task.ID);
    if (misfits?.size === 0) this.#misfits.delete(task.NodeID);
  }

  /** True if the task's end made room on a node. */
  #forget(task: Task): boolean {
    this.#drop(task);
    const freed = this.#infos.get(task.NodeID)?.remove(task.ID) ?? false;
    if (freed) this.#retryMisfits(task.NodeID);
    return freed;
  }

  #retryMisfits(nodeID: string): void {
    for (const [id, task] of this.#misfits.get(nodeID) ?? []) this.#preassigned.set(id, task);
    this.#misfits.delete(nodeID);
  }

  async #run(): Promise<void> {
    this.#at = timestamp(this.options.clock);
    const decisions = this.#validatePreassigned();
    if (this.#placing) {
      this.#placing = false;
      this.#debounce.cancel();
      this.#place(decisions);
    }
    await this.#endStale();
    await this.#write(decisions);
  }

  #validatePreassigned(): Decision[] {
    const decisions: Decision[] = [];
    for (const task of this.#preassigned.values()) {
      const info = this.#infos.get(task.NodeID);
      if (info && roomFor(task, info) > 0) {
        decisions.push(this.#assign(task, info, "scheduler confirmed task can run on preassigned node"));
        continue;
      }
      const misfits = this.#misfits.get(task.NodeID) ?? new Map<string, Task>();
      this.#misfits.set(task.NodeID, misfits.set(task.ID, task));
      this.#refuse(decisions, task, info ? explain(task, [info]) : "node does not exist");
    }
    this.#preassigned.clear();
    return decisions;
  }

  #place(decisions: Decision[]): void {
    const now = this.options.clock.monotonic();
    for (const group of Map.groupBy(this.#unassigned.values(), groupKey).values()) {
      const sample = group[0]!;
      const placer = createPlacer(
        Array.from(this.#infos.values(), (info) => ({
          info,
          room: roomFor(sample, info),
          failures: info.failures(groupKey(sample), now),
          serviceTasks: info.serviceTasks(sample.ServiceID),
          total: info.total,
        })),
        sample.Spec.Placement?.Preferences,
      );
      let reason: string | undefined;
      for (const task of group) {
        const info = reason === undefined ? placer.next() : undefined;
        if (info) {
          this.#unassigned.delete(task.ID);
          decisions.push(this.#assign(task, info, "scheduler assigned task to node"));
        } else {
          reason ??= this.#noSuitableNode(task);
          this.#refuse(decisions, task, reason);
        }
      }
    }
  }

  #noSuitableNode(task: Task): string {
    const why = explain(task, this.#infos.values());
    return why === "" ? "no suitable node" : `no suitable node (${why})`;
  }

  #assign(task: Task, info: NodeInfo, message: string): Decision {
    const chosen = info.free.choose(task.Spec.Resources?.Reservations);
    const assigned: Task = withStatus(task, this.#at, "assigned", message);
    assigned.NodeID = info.node.ID;
    if (chosen.length > 0) assigned.AssignedGenericResources = chosen;
    info.put(assigned);
    return { task: assigned, assigned: true };
  }

  /** Shows why the task waits, unless that stands there already. */
  #refuse(decisions: Decision[], task: Task, reason: string): void {
    if (task.Status.Err === reason) return;
    const refused = withStatus(task, this.#at, "pending", task.Status.Message, reason);
    decisions.push({ task: refused, assigned: false });
  }

  async #write(decisions: Decision[]): Promise<void> {
    if (decisions.length === 0) return;
    const lost: Task[] = [];
    await this.options.store.batch(decisions, (tx, decision) => {
      if (!this.#apply(tx, decision)) lost.push(decision.task);
    });
    for (const decided of lost) {
      this.#infos.get(decided.NodeID)?.remove(decided.ID);
      const task = this.options.store.get("tasks", decided.ID);
      if (task) this.#enqueue(task);
    }
    if (this.#unassigned.size > 0 && lost.length > 0) this.#debounce.touch();
  }

  /** False if the world moved on since the decision: the task is then queued anew. */
  #apply(tx: WriteTransaction, { task, assigned }: Decision): boolean {
    const current = tx.get("tasks", task.ID);
    if (current === undefined || current.Status.State !== "pending" || !isWanted(current)) return false;
    if (assigned) {
      const node = tx.get("nodes", task.NodeID);
      if (node?.Status.State !== "ready" || node.Spec.Availability !== "active") return false;
    }
    tx.update("tasks", { ...task, DesiredState: current.DesiredState, Version: current.Version });
    return true;
  }

  /** Tasks that nobody wants any more before a node was found. */
  async #endStale(): Promise<void> {
    const taskIDs = [...this.#stale];
    this.#stale.clear();
    await this.options.store.batch(taskIDs, (tx, id) => {
      const task = tx.get("tasks", id);
      if (task?.Status.State !== "pending" || isWanted(task)) return;
      tx.update("tasks", withStatus(task, this.#at, "shutdown", "task is no longer wanted"));
    });
  }
}
