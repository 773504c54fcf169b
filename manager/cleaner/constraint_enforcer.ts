/** Evicts tasks that their node no longer suits (SwarmKit `manager/orchestrator/constraintenforcer`). */
import { timestamp } from "../../api/clock.ts";
import type { Node } from "../../api/node.ts";
import { isNodeBound, type Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import { nodeMatches } from "../placement/constraint.ts";
import { NodeResources } from "../placement/node_resources.ts";
import type { Commit, ReadView } from "../store/store.ts";
import { type ComponentOptions, LoopComponent } from "../leader/commit_loop.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import { Later } from "../leader/later.ts";
import { whyToKeep } from "../task/downtime.ts";
import { isWanted, withStatus } from "../task/task.ts";

function suitabilityChanged(node: Node, old: Node): boolean {
  return node.Role !== old.Role || node.Status.Addr !== old.Status.Addr ||
    node.Spec.Availability !== old.Spec.Availability || !deepEqual(node.Spec.Labels, old.Spec.Labels) ||
    !deepEqual(node.Description, old.Description);
}

/** True if a task on `node` (which takes tasks) misses its service's present constraints or does not fit into what is left. */
function isMisplaced(view: ReadView, node: Node, free: NodeResources, task: Task): boolean {
  const { State } = task.Status;
  if (compareStates(State, "assigned") < 0 || isTerminal(State)) return false;
  if (isWanted(task)) {
    // The service's constraints, because a task keeps its old spec when only its placement changed.
    const service = view.get("services", task.ServiceID);
    const placement = service ? service.Spec.TaskTemplate.Placement : task.Spec.Placement;
    if (!nodeMatches(placement, node) || !free.fits(task)) return true;
  }
  free.take(task);
  return false;
}

/** True while the failure budgets of its service keep a device's task where it is. */
function isToBeKept(view: ReadView, task: Task, nowMs: number): boolean {
  const service = view.get("services", task.ServiceID), node = view.get("nodes", task.NodeID);
  if (service === undefined || node === undefined || !isNodeBound(task)) return false;
  return whyToKeep(view, service, node, nowMs) !== undefined;
}

/** Rejects misplaced tasks, whereupon the orchestrators replace them elsewhere. */
export class ConstraintEnforcer extends LoopComponent {
  readonly #nodes = this.list("node");
  /** Those that could not be judged. */
  readonly #odd = this.list("task");
  /** Nodes that keep what does not suit them until others are well. */
  readonly #kept: Later;

  constructor(options: ComponentOptions) {
    super("constraint enforcer", options);
    this.#kept = new Later(options.clock, (nodeIDs) => {
      for (const id of nodeIDs) this.#nodes.add(id);
      this.wake();
    });
  }

  override async stop(): Promise<void> {
    this.#kept.stop();
    await super.stop();
  }

  protected override resync(): void {
    for (const node of this.options.store.all("nodes")) this.#nodes.add(node.ID);
  }

  protected override onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table !== "nodes" || change.action !== "update") continue;
      if (change.old === undefined || suitabilityChanged(change.object, change.old)) {
        this.#nodes.add(change.object.ID);
      }
    }
    return this.#nodes.size > 0;
  }

  protected override async run(): Promise<void> {
    const { store, clock } = this.options;
    for (const id of this.#odd.take()) this.#nodes.add(store.get("tasks", id)?.NodeID ?? "");
    const misplaced: Task[] = [];
    for (const nodeID of this.#nodes.take()) {
      this.#nodes.attempt(nodeID, () => misplaced.push(...this.#misplacedTasks(nodeID)));
    }
    const at = timestamp(clock);
    await store.batch(misplaced, (tx, { ID }): "kept" | undefined => {
      const task = tx.get("tasks", ID);
      if (task === undefined || !isWanted(task) || isTerminal(task.Status.State)) return;
      if (isToBeKept(tx, task, clock.now())) return "kept";
      const why = "assigned node no longer meets constraints";
      tx.update("tasks", withStatus(task, at, "rejected", "task rejected by constraint enforcer", why));
    }, ({ NodeID }, outcome) => {
      if (!outcome.committed) this.#nodes.failed(NodeID, outcome.error);
      else if (outcome.value === "kept") this.#kept.add(NodeID);
    });
    this.#nodes.finish();
    this.#odd.finish();
  }

  /** Oldest kept first. */
  #misplacedTasks(nodeID: string): Task[] {
    const { store } = this.options;
    const node = store.get("nodes", nodeID), misplaced: Task[] = [];
    if (node?.Spec.Availability !== "active" || !node.Description) return misplaced;
    const free = new NodeResources(node.Description);
    for (const task of store.find("tasks", "nodeID", nodeID)) {
      this.#odd.attempt(task.ID, () => {
        if (isMisplaced(store, node, free, task)) misplaced.push(task);
      });
    }
    return misplaced;
  }
}
