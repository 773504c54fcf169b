import type { Node } from "../../api/node.ts";
import type { Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import { NodeResources } from "../placement/node_resources.ts";
import type { ReadView } from "../store/store.ts";
import { isWanted } from "../task/task.ts";
import type { ServiceTasks } from "./service_tasks.ts";
import { unsealedFor } from "../task/seals.ts";
import { type NodeVariables, variablesFor } from "../task/variables.ts";

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

/** A node with what the scheduler knows of it. There may be 100,000: what few nodes have is made when it is needed. */
export class NodeInfo {
  /** Wanted tasks on the node. */
  total = 0;
  free: NodeResources;
  #node: Node;
  readonly #services: ServiceTasks;
  readonly #view: ReadView;
  readonly #tasks = new Map<string, Task>();
  #ports: Map<string, number> | undefined;

  /** Counts its tasks in `services`, too; `view` is where what its tasks need is looked up. */
  constructor(node: Node, services: ServiceTasks, view: ReadView) {
    this.#node = node;
    this.#view = view;
    this.#services = services;
    this.free = new NodeResources(node.Description);
  }

  get node(): Node {
    return this.#node;
  }

  set node(node: Node) {
    const changed = node.Description !== this.#node.Description;
    this.#node = node;
    if (!changed) return;
    this.free = new NodeResources(node.Description);
    for (const task of this.#tasks.values()) this.free.take(task);
  }

  /** The variables that `task` uses, here. */
  variables(task: Task): NodeVariables {
    return variablesFor(this.#view, task, this.#node);
  }

  /** The secret that keeps `task` from running here because it is not sealed for the node. */
  unsealed({ Spec }: Task): string | undefined {
    return unsealedFor(this.#view, Spec, this.#node.ID);
  }

  /** Wanted tasks of a service on the node. */
  serviceTasks(serviceID: string): number {
    return this.#services.of(serviceID).get(this) ?? 0;
  }

  portsFree(task: Pick<Task, "Ports">): boolean {
    return task.Ports === undefined || portKeys(task).every((key) => !this.#ports?.has(key));
  }

  /** Counts `task`, or what became of a task counted before; true for the latter. */
  put(task: Task): boolean {
    const known = this.#tasks.get(task.ID);
    if (known === undefined) {
      this.free.take(task);
      if (isWanted(task)) this.#count(task, 1);
      this.#countPorts(task, 1);
    } else if (isWanted(known) && !isWanted(task)) {
      this.#count(task, -1);
    }
    this.#tasks.set(task.ID, task);
    return known !== undefined;
  }

  /** What `judge` says of a task while the one is not counted whose place it takes on the node. */
  withoutStandIn<T>({ Swap }: Pick<Task, "Swap">, judge: () => T): T {
    const old = Swap === undefined || Swap.StartFirst ? undefined : this.#tasks.get(Swap.With);
    if (old === undefined) return judge();
    this.remove(old.ID);
    try {
      return judge();
    } finally {
      this.put(old);
    }
  }

  /** Stops counting a task; true if it was counted. */
  remove(taskID: string): boolean {
    const task = this.#tasks.get(taskID);
    if (task === undefined) return false;
    this.#tasks.delete(taskID);
    this.free.give(task);
    if (task.AssignedGenericResources !== undefined) {
      // What its successor got was given back by it.
      for (const other of this.#tasks.values()) if (other.Swap?.With === taskID) this.free.keep(other);
    }
    if (isWanted(task)) this.#count(task, -1);
    this.#countPorts(task, -1);
    return true;
  }

  /** The node is gone: none of its tasks counts any more. */
  clear(): void {
    for (const id of [...this.#tasks.keys()]) this.remove(id);
  }

  #count(task: Task, by: 1 | -1): void {
    this.total += by;
    this.#services.count(task.ServiceID, this, by);
  }

  #countPorts(task: Task, by: 1 | -1): void {
    if (task.Ports === undefined) return;
    this.#ports ??= new Map();
    for (const key of portKeys(task)) {
      const count = (this.#ports.get(key) ?? 0) + by;
      if (count > 0) this.#ports.set(key, count);
      else this.#ports.delete(key);
    }
  }
}
