/**
 * Keeps one task of each global service on every eligible node (SwarmKit `manager/orchestrator/global`).
 * Different from SwarmKit, for devices that may be offline: an outage neither stops nor replaces a task, and
 * a device that returns is updated under the service's update policy.
 */
import { clusterOf } from "../cluster/cluster_object.ts";
import type { Node } from "../../api/node.ts";
import { isGlobal, type Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { isTerminal } from "../../api/task_state.ts";
import { nodeMatches } from "../placement/constraint.ts";
import type { WriteTransaction } from "../store/store.ts";
import type { ComponentOptions } from "../leader/commit_loop.ts";
import { ServiceOrchestrator } from "./service_orchestrator.ts";
import { isWanted, newTask, withDesired } from "../task/task.ts";

/**
 * What a node is to a global service: `run` a task there; `leave` what is there as it is (the node is paused,
 * or not reachable); `end` what is there (drained, or constraints not met).
 */
function globalVerdict(service: Service, node: Node): "run" | "leave" | "end" {
  if (node.Spec.Availability === "drain" || !nodeMatches(service.Spec.TaskTemplate.Placement, node)) {
    return "end";
  }
  return node.Spec.Availability === "active" && node.Status.State === "ready" ? "run" : "leave";
}

/** The orchestrator of global services. */
export class GlobalOrchestrator extends ServiceOrchestrator {
  #services = new Map<string, Service>();

  constructor(options: ComponentOptions) {
    super("global orchestrator", options, true);
  }

  protected override onService(serviceID: string, service: Service | undefined): void {
    if (service) this.#services.set(serviceID, service);
    else this.#services.delete(serviceID);
  }

  protected override nodeMatters(): boolean {
    return true;
  }

  /**
   * A task that ended is restarted even while its node is not reachable, but not on a node that takes no
   * tasks.
   */
  protected override judge(view: Pick<WriteTransaction, "get">, service: Service, task: Task) {
    const node = view.get("nodes", task.NodeID);
    if (node === undefined) return "keep";
    if (globalVerdict(service, node) === "end") return "end";
    if (!isTerminal(task.Status.State)) return "keep";
    return node.Spec.Availability === "pause" ? "end" : "restart";
  }

  protected override async reconcileNodes(nodeIDs: string[]): Promise<void> {
    const { store } = this.options;
    const pairs: Pair[] = [];
    for (const nodeID of nodeIDs) {
      const node = store.get("nodes", nodeID);
      if (node === undefined) await this.#deleteTasks(store.find("tasks", "nodeID", nodeID));
      else for (const service of this.#services.values()) pairs.push(this.#pair(service, node));
    }
    await this.#apply(pairs);
    const byService = Map.groupBy(pairs, (pair) => pair.service);
    for (const [service, of] of byService) this.#update(service, of, true);
  }

  protected override async reconcile(service: Service): Promise<void> {
    const { store } = this.options;
    const tasks = Map.groupBy(store.find("tasks", "serviceID", service.ID), (task) => task.NodeID);
    const pairs = store.all("nodes").map((node) => this.#pair(service, node, tasks.get(node.ID) ?? []));
    await this.#apply(pairs);
    this.#update(service, pairs, false);
  }

  #pair(
    service: Service,
    node: Node,
    tasks = this.options.store.find("tasks", "slot", `${service.ID}/${node.ID}`),
  ): Pair {
    const live = this.supervisor.liveTasks(service, tasks.filter((task) => task.DesiredState !== "remove"));
    return { service, node, live, verdict: globalVerdict(service, node) };
  }

  #update(service: Service, pairs: Pair[], partial: boolean): void {
    const slots = pairs.filter((pair) => pair.verdict === "run" && pair.live.length > 0).map((pair) =>
      pair.live
    );
    this.updater.update(service, slots, partial);
  }

  /** Creates missing tasks and ends those that must not be. */
  async #apply(pairs: Pair[]): Promise<void> {
    const { store, clock, random } = this.options;
    const cluster = clusterOf(store);
    const toDo = pairs.filter(({ verdict, live }) =>
      verdict === "run" ? live.length === 0 : verdict === "end" && live.some(isWanted)
    );
    await store.batch(toDo, (tx, { service, node, verdict, live }) => {
      const current = tx.get("services", service.ID);
      const place = tx.get("nodes", node.ID);
      if (current === undefined || place === undefined || globalVerdict(current, place) !== verdict) return;
      if (verdict === "run") {
        const tasks = tx.find("tasks", "slot", `${service.ID}/${node.ID}`);
        if (!tasks.some(isWanted)) {
          tx.create("tasks", newTask(current, { nodeID: node.ID }, cluster, clock, random));
        }
      } else this.#end(tx, live);
    });
  }

  #end(tx: WriteTransaction, tasks: readonly Task[]): void {
    for (const { ID } of tasks) {
      const task = tx.get("tasks", ID);
      if (task && isWanted(task)) tx.update("tasks", withDesired(task, "shutdown"));
    }
  }

  /** Tasks of a node that was removed: nobody will ever report on them. */
  async #deleteTasks(tasks: Task[]): Promise<void> {
    await this.options.store.batch(tasks, (tx, { ID, ServiceID }) => {
      const service = tx.get("services", ServiceID);
      if (tx.get("tasks", ID)?.Slot === 0 && (service === undefined || isGlobal(service.Spec))) {
        tx.delete("tasks", ID);
      }
    });
  }
}

/** One global service on one node. */
interface Pair {
  service: Service;
  node: Node;
  live: Task[];
  verdict: ReturnType<typeof globalVerdict>;
}
