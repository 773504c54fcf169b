/**
 * Keeps one task of each global service on every eligible node (SwarmKit `manager/orchestrator/global`).
 * Different from SwarmKit, for devices that may be offline: an outage neither stops nor replaces a task, and
 * a device that returns is updated under the service's update policy. A drained device keeps its task for as long as the
 * service's failure budgets ask for it.
 */
import { clusterOf } from "../cluster/cluster_object.ts";
import type { Node } from "../../api/node.ts";
import { isJob, modeOf, type Service } from "../../api/service.ts";
import { isCompletedJob, isNodeBound, slotKey, type Task } from "../../api/task.ts";
import type { CoveyError } from "../../api/errors.ts";
import { isTerminal } from "../../api/task_state.ts";
import { nodeMatches } from "../placement/constraint.ts";
import type { ReadView, WriteTransaction } from "../store/store.ts";
import type { ComponentOptions } from "../leader/commit_loop.ts";
import { ServiceOrchestrator, type Verdict } from "./service_orchestrator.ts";
import { Later } from "../leader/later.ts";
import { whyToKeep } from "../task/downtime.ts";
import { forNewcomer } from "../task/gate.ts";
import { isOfIteration, isWanted, withDesired } from "../task/task.ts";

/**
 * What a node is to a global service: `run` a task there; `leave` what is there as it is (the node is paused,
 * or not reachable); `end` what is there (drained, or constraints not met).
 */
export function globalVerdict(service: Service, node: Node): "run" | "leave" | "end" {
  if (node.Spec.Availability === "drain" || !nodeMatches(service.Spec.TaskTemplate.Placement, node)) {
    return "end";
  }
  return node.Spec.Availability === "active" && node.Status.State === "ready" ? "run" : "leave";
}

/** The orchestrator of global services, and what that of global jobs has in common with it. */
export class GlobalOrchestrator extends ServiceOrchestrator {
  #services = new Map<string, Service>();
  /** Nodes that keep what they have until others are well. */
  readonly #kept: Later;

  constructor(options: ComponentOptions, mode: "global" | "global-job" = "global") {
    super(`${mode} orchestrator`, options, mode);
    this.#kept = new Later(options.clock, (nodeIDs) => this.checkNodes(nodeIDs));
  }

  override async stop(): Promise<void> {
    this.#kept.stop();
    await super.stop();
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
  protected override judge(view: ReadView, service: Service, task: Task): Verdict {
    const node = view.get("nodes", task.NodeID);
    if (node === undefined) return "keep";
    if (globalVerdict(service, node) === "end") return this.#mayEnd(view, service, node) ? "end" : "keep";
    if (!isTerminal(task.Status.State)) return "keep";
    return node.Spec.Availability === "pause" ? "end" : "restart";
  }

  #mayEnd(view: ReadView, service: Service, node: Node): boolean {
    return whyToKeep(view, service, node, this.options.clock.now()) === undefined;
  }

  protected override async reconcileNodes(nodeIDs: string[]): Promise<void> {
    const { store } = this.options;
    const pairs: Pair[] = [];
    const orphans: Task[] = [];
    for (const nodeID of nodeIDs) {
      const node = store.get("nodes", nodeID);
      if (node === undefined) orphans.push(...store.find("tasks", "nodeID", nodeID));
      else for (const service of this.#services.values()) this.#pairUp(pairs, service, node);
    }
    await this.#deleteTasks(orphans);
    await this.#apply(pairs, ({ node }, error) => this.dirtyNodes.failed(node.ID, error));
    for (const [service, of] of Map.groupBy(pairs, (pair) => pair.service)) {
      this.dirtyServices.attempt(service.ID, () => this.#update(service, of, true));
    }
  }

  protected override async reconcile(service: Service): Promise<void> {
    const { store } = this.options;
    const tasks = Map.groupBy(store.find("tasks", "serviceID", service.ID), (task) => task.NodeID);
    const pairs: Pair[] = [];
    const odd = new Map<string, unknown>();
    for (const node of store.all("nodes")) {
      try {
        pairs.push(this.#pair(service, node, tasks.get(node.ID) ?? []));
      } catch (error) {
        odd.set(node.ID, error);
      }
    }
    // What fits no node at all is the service's own fault.
    if (odd.size > 0 && pairs.length === 0) throw odd.values().next().value;
    for (const [nodeID, error] of odd) this.dirtyNodes.failed(nodeID, error);
    let failure: CoveyError | undefined;
    await this.#apply(pairs, (_, error) => failure ??= error);
    this.#update(service, pairs, false);
    if (failure) throw failure;
  }

  /** Where a service cannot be judged on a node, a look at all its nodes finds which of them is odd. */
  #pairUp(pairs: Pair[], service: Service, node: Node): void {
    try {
      pairs.push(this.#pair(service, node));
    } catch {
      this.dirtyServices.add(service.ID);
    }
  }

  #pair(
    service: Service,
    node: Node,
    tasks = this.options.store.find("tasks", "slot", slotKey({ ServiceID: service.ID, NodeID: node.ID })),
  ): Pair {
    const present = tasks.filter((task) => isOfIteration(service, task));
    const live = this.supervisor.liveTasks(this.options.store, service, present);
    return { service, node, live, verdict: globalVerdict(service, node) };
  }

  #update(service: Service, pairs: Pair[], partial: boolean): void {
    if (isJob(service.Spec)) return;
    const slots = pairs.filter((pair) => pair.verdict === "run" && pair.live.length > 0).map((pair) =>
      pair.live
    );
    this.updater.update(service, slots, partial);
  }

  /** Creates missing tasks and ends those that must not be; `failed` hears of each pair whose writes are not committed. */
  async #apply(pairs: Pair[], failed: (pair: Pair, error: CoveyError) => void): Promise<void> {
    const { store } = this.options;
    const cluster = clusterOf(store);
    const toDo = pairs.filter(({ verdict, live }) =>
      verdict === "run" ? live.length === 0 : verdict === "end" && live.some(mayBeEnded)
    );
    await store.batch(toDo, (tx, { service, node, verdict, live }): "kept" | undefined => {
      const current = tx.get("services", service.ID);
      const place = tx.get("nodes", node.ID);
      if (current === undefined || place === undefined || globalVerdict(current, place) !== verdict) return;
      if (verdict === "end" && !this.#mayEnd(tx, current, place)) return "kept";
      if (verdict === "run") {
        const wanted = isJob(current.Spec) ? current : forNewcomer(current);
        this.createIn(tx, wanted, { nodeID: node.ID }, cluster);
      } else this.#end(tx, live);
    }, (pair, outcome) => {
      if (!outcome.committed) failed(pair, outcome.error);
      else if (outcome.value === "kept") this.#kept.add(pair.node.ID);
    });
  }

  #end(tx: WriteTransaction, tasks: readonly Task[]): void {
    for (const { ID } of tasks) {
      const task = tx.get("tasks", ID);
      if (task && mayBeEnded(task)) tx.update("tasks", withDesired(task, "shutdown"));
    }
  }

  /** Tasks of a node that was removed: nobody will ever report on them. What a job has completed there stays to be seen. */
  async #deleteTasks(tasks: Task[]): Promise<void> {
    await this.options.store.batch(tasks, (tx, { ID, ServiceID }) => {
      const task = tx.get("tasks", ID), service = tx.get("services", ServiceID);
      if (task === undefined || !isNodeBound(task)) return;
      if (service === undefined || (modeOf(service.Spec) === this.mode && !isCompletedJob(task))) {
        tx.delete("tasks", ID);
      }
    }, ({ NodeID }, outcome) => {
      if (!outcome.committed) this.dirtyNodes.failed(NodeID, outcome.error);
    });
  }
}

/** False for what is ended already, or has done its work. */
function mayBeEnded(task: Task): boolean {
  return isWanted(task) && !isCompletedJob(task);
}

/** One global service on one node. */
interface Pair {
  service: Service;
  node: Node;
  live: Task[];
  verdict: ReturnType<typeof globalVerdict>;
}
