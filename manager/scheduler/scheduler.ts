/** Assigns pending tasks to nodes (SwarmKit `manager/scheduler`). */
import { getLogger } from "@logtape/logtape";
import { timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Node } from "../../api/node.ts";
import { SayOnce } from "../../api/say_once.ts";
import { isNodeBound, type Task } from "../../api/task.ts";
import { isTerminal } from "../../api/task_state.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import { Debounce } from "../leader/debounce.ts";
import { showOnTask } from "../leader/show_reason.ts";
import type { WorkList } from "../leader/work_list.ts";
import { isWanted, withStatus } from "../task/task.ts";
import type { Change, Commit, WriteTransaction } from "../store/store.ts";
import { Failures } from "./failures.ts";
import { demandOf, explain, isEligible, kindOf, roomFor } from "./filters.ts";
import { groupKey, NodeInfo, occupies } from "./node_info.ts";
import { type Placer, Pool } from "./pool.ts";
import { ServiceTasks } from "./service_tasks.ts";

/** Milliseconds without a commit after which tasks are placed, so that one decision sees all of them. */
const COMMIT_DEBOUNCE_MS = 50;
/** Milliseconds after which tasks are placed although commits keep coming. */
const MAX_LATENCY_MS = 1000;

/**
 * Tasks that are given a node in one step; the rest waits until they are written. It bounds the turn of the event loop (some
 * 30 ms), and what is remembered of decisions that are not written yet.
 */
const MAX_PLACED_PER_STEP = 10_000;

const logger = getLogger(["covey", "scheduler"]);

/** Why no node of `infos` takes `task`. */
function reasonOn(task: Task, infos: Iterable<NodeInfo>): string {
  try {
    return explain(task, infos);
  } catch (error) {
    return oddity(error);
  }
}

function oddity(error: unknown): string {
  return `cannot be judged: ${CoveyError.from(error).message}`;
}

/** What is to be written for one task: a node, or the reason why there is none. */
interface Decision {
  task: Task;
  assigned: boolean;
}

/** What groups of one step share. */
interface Step {
  decisions: Decision[];
  /** Monotonic time. */
  nowMs: number;
  /** By kind of tasks. */
  pools: Map<string, Pool>;
  /** Why tasks wait, by what they ask for; nothing gets free while tasks are placed. */
  reasons: Map<string, string>;
}

/**
 * The scheduler. Tasks without a node wait for a quiet moment and are placed in groups of equals; tasks of a
 * preset node are only validated, and at once.
 */
export class Scheduler {
  #loop: CommitLoop;
  #debounce: Debounce;
  #infos = new Map<string, NodeInfo>();
  readonly #services = new ServiceTasks();
  readonly #failures = new Failures();
  /** Tasks without a node by group, and the groups that the present pass has yet to place. */
  #unassigned = new Map<string, Map<string, Task>>();
  readonly #unplaced = new Set<string>();
  /** Tasks of a preset node that are to be validated, and those that did not fit, by node. */
  #preassigned = new Map<string, Task>();
  #misfits = new Map<string, Map<string, Task>>();
  /** Tasks to be ended, as nobody wants them any more. */
  readonly #stale: WorkList;
  /** Nodes and tasks to be taken in anew: those that could not be. */
  readonly #oddNodes: WorkList;
  readonly #oddTasks: WorkList;
  #placing = false;
  readonly #oddPair = new SayOnce();
  /** Time of the step in progress, for the statuses it writes. */
  #at = "";

  constructor(readonly options: ComponentOptions) {
    this.#loop = new CommitLoop("scheduler", options, {
      resync: () => this.#resync(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
    this.#stale = this.#loop.list("task");
    this.#oddNodes = this.#loop.list("node");
    this.#oddTasks = this.#loop.list("task", showOnTask(options));
    this.#debounce = new Debounce(options.clock, COMMIT_DEBOUNCE_MS, MAX_LATENCY_MS, () => {
      this.#placing = true;
      this.#loop.wake();
    });
  }

  get name(): string {
    return this.#loop.name;
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
    for (const part of [this.#infos, this.#services, this.#failures]) part.clear();
    for (const waiting of [this.#unassigned, this.#unplaced, this.#preassigned, this.#misfits]) {
      waiting.clear();
    }
    for (const node of store.all("nodes")) {
      const made = () => new NodeInfo(node, this.#services, store);
      this.#oddNodes.attempt(node.ID, () => this.#infos.set(node.ID, made()));
    }
    for (const task of store.all("tasks")) this.#take(task);
    this.#placing = true;
  }

  #onCommit(commit: Commit): boolean {
    let relevant = false;
    for (const change of commit.changes) {
      if (change.table === "tasks") {
        this.#oddTasks.attempt(change.object.ID, () => relevant = this.#onTask(change) || relevant);
      } else if (change.table === "nodes") {
        this.#onNode(change);
        relevant = true;
      } else if (change.table === "variables" || change.table === "seals") {
        for (const nodeID of [...this.#misfits.keys()]) this.#retryMisfits(nodeID);
        relevant = true;
      }
    }
    if (this.#debounce.waiting || (relevant && this.#unassigned.size > 0)) this.#debounce.touch();
    return this.#preassigned.size > 0 || this.#stale.size > 0 ||
      this.#oddNodes.size + this.#oddTasks.size > 0;
  }

  #onNode({ object: node, action }: Extract<Change, { table: "nodes" }>): void {
    if (action === "remove") {
      const info = this.#infos.get(node.ID);
      if (info) this.#forgetNode(info);
      this.#infos.delete(node.ID);
      this.#oddNodes.delete(node.ID);
    } else this.#takeNode(node);
    this.#retryMisfits(node.ID);
  }

  /** One that cannot be taken in gets no tasks until it is. */
  #takeNode(node: Node): void {
    const info = this.#infos.get(node.ID);
    this.#infos.delete(node.ID);
    this.#oddNodes.attempt(node.ID, () => {
      if (info) info.node = node;
      const known = info ?? new NodeInfo(node, this.#services, this.options.store);
      if (!info) {
        for (const task of this.options.store.find("tasks", "nodeID", node.ID)) {
          if (occupies(task)) this.#oddTasks.attempt(task.ID, () => known.put(task));
        }
      }
      this.#infos.set(node.ID, known);
    });
    if (info && !this.#infos.has(node.ID)) this.#forgetNode(info);
  }

  #forgetNode(info: NodeInfo): void {
    this.#failures.forget(info);
    info.clear();
  }

  #onTask(change: Extract<Change, { table: "tasks" }>): boolean {
    const { object: task, old } = change;
    if (change.action === "remove") {
      this.#oddTasks.delete(task.ID);
      return this.#forget(task);
    }
    const failed = task.Status.State === "failed" || task.Status.State === "rejected";
    if (failed && old && !isTerminal(old.Status.State) && !isNodeBound(task) && isWanted(old)) {
      const info = this.#infos.get(task.NodeID);
      if (info) this.#failures.add(groupKey(task), info, this.options.clock.monotonic());
    }
    return this.#enqueue(task);
  }

  /** Puts `task` where it belongs; true if it may be time to place tasks. */
  #enqueue(task: Task): boolean {
    if (task.Status.State !== "pending") {
      if (!occupies(task)) return this.#forget(task);
      // What is counted on a node waits nowhere.
      if (!this.#infos.get(task.NodeID)?.put(task)) this.#drop(task);
      return !isWanted(task);
    }
    if (!isWanted(task)) {
      this.#drop(task);
      if (task.DesiredState !== "remove") this.#stale.add(task.ID);
    } else if (task.NodeID === "") {
      return this.#await(task);
    } else {
      const misfits = this.#misfits.get(task.NodeID);
      if (misfits?.has(task.ID)) misfits.set(task.ID, task);
      else this.#preassigned.set(task.ID, task);
    }
    return false;
  }

  /** True if the task is new among those without a node. */
  #await(task: Task): boolean {
    const key = groupKey(task), group = this.#unassigned.get(key);
    const isNew = !group?.has(task.ID);
    if (group) group.set(task.ID, task);
    else this.#unassigned.set(key, new Map([[task.ID, task]]));
    return isNew;
  }

  #drop(task: Task): void {
    if (this.#unassigned.size > 0) {
      const key = groupKey(task), group = this.#unassigned.get(key);
      if (group?.delete(task.ID) && group.size === 0) this.#unassigned.delete(key);
    }
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
    this.#lookAtOdd();
    const decisions = this.#validatePreassigned();
    if (this.#placing) {
      this.#placing = false;
      this.#debounce.cancel();
      for (const key of this.#unassigned.keys()) this.#unplaced.add(key);
    }
    this.#place(decisions);
    await this.#endStale();
    await this.#write(decisions);
    this.#oddTasks.finish();
  }

  #lookAtOdd(): void {
    const { store } = this.options;
    for (const id of this.#oddNodes.take()) {
      const node = store.get("nodes", id);
      if (node) this.#takeNode(node);
      this.#placing = true;
    }
    this.#oddNodes.finish();
    for (const id of this.#oddTasks.take()) {
      const task = store.get("tasks", id);
      if (task) this.#take(task);
      this.#placing = true;
    }
  }

  #take(task: Task): void {
    this.#oddTasks.attempt(task.ID, () => this.#enqueue(task));
  }

  #validatePreassigned(): Decision[] {
    const decisions: Decision[] = [];
    for (const task of this.#preassigned.values()) {
      if (decisions.length === MAX_PLACED_PER_STEP) break;
      this.#preassigned.delete(task.ID);
      const info = this.#infos.get(task.NodeID);
      if (info && info.withoutStandIn(task, () => this.#confirm(decisions, task, info))) continue;
      const misfits = this.#misfits.get(task.NodeID) ?? new Map<string, Task>();
      this.#misfits.set(task.NodeID, misfits.set(task.ID, task));
      this.#refuse(
        decisions,
        task,
        info ? info.withoutStandIn(task, () => reasonOn(task, [info])) : "node does not exist",
      );
    }
    if (this.#preassigned.size > 0) this.#loop.wake();
    return decisions;
  }

  #confirm(decisions: Decision[], task: Task, info: NodeInfo): boolean {
    if (this.#judge(task, info, roomFor, 0) === 0) return false;
    this.#assign(decisions, task, info, "scheduler confirmed task can run on preassigned node");
    return true;
  }

  /** Places the groups of the present pass, as far as a step goes. */
  #place(decisions: Decision[]): void {
    const nowMs = this.options.clock.monotonic();
    const step: Step = { decisions, nowMs, pools: new Map(), reasons: new Map() };
    for (const key of this.#unplaced) {
      if (decisions.length >= MAX_PLACED_PER_STEP) break;
      const group = this.#unassigned.get(key);
      try {
        const isDone = group === undefined || this.#placeGroup(step, group);
        if (group?.size === 0) this.#unassigned.delete(key);
        if (!isDone) continue;
      } catch (error) {
        for (const task of group!.values()) this.#refuse(decisions, task, oddity(error));
      }
      this.#unplaced.delete(key);
    }
    if (this.#unplaced.size > 0) this.#loop.wake();
  }

  /** False if the step is full before all tasks had their turn. */
  #placeGroup(step: Step, group: Map<string, Task>): boolean {
    const { decisions, reasons } = step;
    const [sample] = group.values();
    if (sample === undefined) return true;
    const kind = kindOf(sample), demand = demandOf(sample, kind);
    let reason = demand === undefined ? undefined : reasons.get(demand);
    const placer = reason === undefined ? this.#placer(step, sample, kind) : undefined;
    try {
      for (const task of group.values()) {
        if (reason === undefined && decisions.length >= MAX_PLACED_PER_STEP) return false;
        const info = reason === undefined ? placer!.next() : undefined;
        if (info) {
          group.delete(task.ID);
          this.#assign(decisions, task, info, "scheduler assigned task to node");
        } else {
          reason ??= this.#noSuitableNode(task);
          if (demand !== undefined) reasons.set(demand, reason);
          this.#refuse(decisions, task, reason);
        }
      }
    } finally {
      placer?.finish();
    }
    return true;
  }

  #placer({ pools, nowMs }: Step, sample: Task, kind: string): Placer {
    let pool = pools.get(kind);
    if (pool === undefined) {
      const infos = [...this.#infos.values()].filter((info) => this.#judge(sample, info, isEligible, false));
      pools.set(kind, pool = new Pool(infos, sample.Spec.Placement?.Preferences));
    }
    return pool.place({
      room: (info) => this.#judge(sample, info, roomFor, 0),
      serviceTasks: this.#services.of(sample.ServiceID),
      failures: this.#failures.of(groupKey(sample), nowMs),
    });
  }

  /** What `look` says of the node for tasks like `task`; `otherwise` if that cannot be judged. */
  #judge<R>(task: Task, info: NodeInfo, look: (task: Task, info: NodeInfo) => R, otherwise: R): R {
    try {
      return look(task, info);
    } catch (error) {
      const why = `Cannot judge node ${info.node.ID} for tasks of service ${task.ServiceID}: ${error}`;
      if (this.#oddPair.isNew(why)) logger.warn(why);
      return otherwise;
    }
  }

  #noSuitableNode(task: Task): string {
    const why = reasonOn(task, this.#infos.values());
    return why === "" ? "no suitable node" : `no suitable node (${why})`;
  }

  #assign(decisions: Decision[], task: Task, info: NodeInfo, message: string): void {
    this.#oddTasks.attempt(task.ID, () => {
      const chosen = info.free.choose(task.Spec.Resources?.Reservations);
      const assigned: Task = withStatus(task, this.#at, "assigned", message);
      assigned.NodeID = info.node.ID;
      if (chosen.length > 0) assigned.AssignedGenericResources = chosen;
      const { values } = info.variables(task);
      if (values) assigned.Variables = values;
      info.put(assigned);
      decisions.push({ task: assigned, assigned: true });
    });
  }

  /** Shows why the task waits, unless that stands there already. */
  #refuse(decisions: Decision[], task: Task, reason: string): void {
    if (task.Status.Err === reason) return;
    const refused = withStatus(task, this.#at, "pending", task.Status.Message, reason);
    decisions.push({ task: refused, assigned: false });
  }

  async #write(decisions: Decision[]): Promise<void> {
    if (decisions.length === 0) return;
    let hasLost = false;
    const callback = (tx: WriteTransaction, decision: Decision) => this.#apply(tx, decision);
    await this.options.store.batch(decisions, callback, ({ task: decided }, outcome) => {
      if (outcome.committed && outcome.value) return;
      // It goes on from what the store says: even a write that failed may have been committed.
      this.#infos.get(decided.NodeID)?.remove(decided.ID);
      this.#drop(decided);
      const task = this.options.store.get("tasks", decided.ID);
      if (!outcome.committed) this.#oddTasks.failed(decided.ID, outcome.error);
      else hasLost = true;
      if (task && (outcome.committed || task.Status.State !== "pending")) this.#take(task);
    });
    if (this.#unassigned.size > 0 && hasLost) this.#debounce.touch();
  }

  /** False if the world moved on since the decision: the task is then queued anew. */
  #apply(tx: WriteTransaction, { task, assigned }: Decision): boolean {
    const current = tx.get("tasks", task.ID);
    if (current === undefined || current.Status.State !== "pending" || !isWanted(current)) return false;
    if (assigned) {
      const node = tx.get("nodes", task.NodeID);
      if (node?.Status.State !== "ready" || node.Spec.Availability !== "active") return false;
    }
    const isAsDecided = current.Version.Index === task.Version.Index;
    const { DesiredState, Version } = current;
    tx.update("tasks", isAsDecided ? task : { ...task, DesiredState, Version });
    return true;
  }

  /** Tasks that nobody wants any more before a node was found. */
  async #endStale(): Promise<void> {
    await this.#stale.commit(this.options.store, (tx, id) => {
      const task = tx.get("tasks", id);
      if (task?.Status.State !== "pending" || isWanted(task)) return;
      tx.update("tasks", withStatus(task, this.#at, "shutdown", "task is no longer wanted"));
    });
  }
}
