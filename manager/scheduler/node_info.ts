import type { Node } from "../../api/node.ts";
import type { Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import { NodeResources } from "../placement/node_resources.ts";
import type { ReadView } from "../store/store.ts";
import { isWanted } from "../task/task.ts";
import { unsealedFor } from "../task/seals.ts";
import { type NodeVariables, variablesFor } from "../task/variables.ts";

/**
 * Failures of one service version within the window from which on other nodes are tried first (SwarmKit
 * `maxFailures`).
 */
const MAX_FAILURES = 5;
/** Milliseconds for which a failure is remembered (SwarmKit `monitorFailures`). */
const FAILURE_WINDOW_MS = 5 * 60_000;
/** Remembered failures per service version: enough to order the nodes, however fast a task fails. */
const MAX_REMEMBERED_FAILURES = 32;

/** Which tasks are alike to the scheduler: those of one version of one service. */
export function groupKey(task: Pick<Task, "ServiceID" | "SpecVersion">): string {
  return `${task.ServiceID}@${task.SpecVersion?.Index ?? 0}`;
}

/** True if `task` takes up room on its node. */
export function occupies(task: Task): boolean {
  const { State } = task.Status;
  return task.NodeID !== "" && compareStates(State, "assigned") >= 0 && !isTerminal(State);
}

function portKeys(task: Pick<Task, "Ports">): string[] {
  const ports = task.Ports?.filter((port) => port.PublishMode === "host" && port.PublishedPort) ?? [];
  return ports.map((port) => `${port.Protocol}/${port.PublishedPort}`);
}

/** A node with what the scheduler knows of it. */
export class NodeInfo {
  /** Wanted tasks on the node. */
  total = 0;
  free: NodeResources;
  #node: Node;
  readonly #view: ReadView | undefined;
  #tasks = new Map<string, Task>();
  #byService = new Map<string, number>();
  #ports = new Map<string, number>();
  /** Monotonic times of failures by {@linkcode groupKey}. */
  #failures = new Map<string, number[]>();

  /** `view` is where the variables of its tasks are looked up. */
  constructor(node: Node, view?: ReadView) {
    this.#node = node;
    this.#view = view;
    this.free = new NodeResources(node.Description?.Resources);
  }

  get node(): Node {
    return this.#node;
  }

  set node(node: Node) {
    const resources = node.Description?.Resources;
    const changed = resources !== this.#node.Description?.Resources;
    this.#node = node;
    if (!changed) return;
    this.free = new NodeResources(resources);
    for (const task of this.#tasks.values()) this.free.take(task);
  }

  /** The variables that `task` uses, here. */
  variables(task: Task): NodeVariables {
    return this.#view ? variablesFor(this.#view, task, this.#node) : {};
  }

  /** The secret that keeps `task` from running here because it is not sealed for the node. */
  unsealed({ Spec }: Task): string | undefined {
    return this.#view && unsealedFor(this.#view, Spec, this.#node.ID);
  }

  /** Wanted tasks of a service on the node. */
  serviceTasks(serviceID: string): number {
    return this.#byService.get(serviceID) ?? 0;
  }

  portsFree(task: Pick<Task, "Ports">): boolean {
    return task.Ports === undefined || portKeys(task).every((key) => !this.#ports.has(key));
  }

  /** Counts `task`, or what became of a task counted before. */
  put(task: Task): void {
    const known = this.#tasks.get(task.ID);
    if (known === undefined) {
      this.free.take(task);
      this.#count(task, 1);
      this.#countPorts(task, 1);
    } else if (isWanted(known) && !isWanted(task)) {
      this.#count(task, -1, true);
    }
    this.#tasks.set(task.ID, task);
  }

  /** Stops counting a task; true if it was counted. */
  remove(taskID: string): boolean {
    const task = this.#tasks.get(taskID);
    if (task === undefined) return false;
    this.#tasks.delete(taskID);
    this.free.give(task);
    this.#count(task, -1);
    this.#countPorts(task, -1);
    return true;
  }

  #count(task: Task, by: 1 | -1, force = false): void {
    if (!force && !isWanted(task)) return;
    this.total += by;
    const count = (this.#byService.get(task.ServiceID) ?? 0) + by;
    if (count > 0) this.#byService.set(task.ServiceID, count);
    else this.#byService.delete(task.ServiceID);
  }

  #countPorts(task: Task, by: 1 | -1): void {
    if (task.Ports === undefined) return;
    for (const key of portKeys(task)) {
      const count = (this.#ports.get(key) ?? 0) + by;
      if (count > 0) this.#ports.set(key, count);
      else this.#ports.delete(key);
    }
  }

  /** Remembers that a task of `group` failed here. */
  addFailure(group: string, nowMs: number): void {
    for (const [key, times] of this.#failures) {
      if (times.at(-1)! < nowMs - FAILURE_WINDOW_MS) this.#failures.delete(key);
    }
    const times = this.#failures.get(group) ?? [];
    times.push(nowMs);
    if (times.length > MAX_REMEMBERED_FAILURES) times.shift();
    this.#failures.set(group, times);
  }

  /** Recent failures of `group` here, if they are so many that they matter; else 0. */
  failures(group: string, nowMs: number): number {
    const times = this.#failures.get(group);
    if (times === undefined) return 0;
    const recent = times.filter((at) => at >= nowMs - FAILURE_WINDOW_MS).length;
    return recent >= MAX_FAILURES ? recent : 0;
  }
}
