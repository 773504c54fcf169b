/** Evicts tasks that their node no longer suits (SwarmKit `manager/orchestrator/constraintenforcer`). */
import { timestamp } from "../../api/clock.ts";
import type { Node } from "../../api/node.ts";
import type { Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import { nodeMatches } from "../placement/constraint.ts";
import { NodeResources } from "../placement/node_resources.ts";
import type { Commit, ReadView } from "../store/store.ts";
import { type ComponentOptions, LoopComponent } from "../leader/commit_loop.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import { isWanted, withStatus } from "../task/task.ts";

function suitabilityChanged(node: Node, old: Node): boolean {
  return node.Role !== old.Role || node.Status.Addr !== old.Status.Addr ||
    node.Spec.Availability !== old.Spec.Availability || !deepEqual(node.Spec.Labels, old.Spec.Labels) ||
    !deepEqual(node.Description, old.Description);
}

/**
 * The tasks on `node` (a node that takes tasks) that miss their service's present constraints or do not fit,
 * oldest kept first.
 */
function misplacedTasks(view: ReadView, node: Node): Task[] {
  const free = new NodeResources(node.Description?.Resources);
  return view.find("tasks", "nodeID", node.ID).filter((task) => {
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
  });
}

/** Rejects misplaced tasks, whereupon the orchestrators replace them elsewhere. */
export class ConstraintEnforcer extends LoopComponent {
  #nodes = new Set<string>();

  constructor(options: ComponentOptions) {
    super("constraint enforcer", options);
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
    const misplaced: Task[] = [];
    for (const nodeID of this.#nodes) {
      const node = store.get("nodes", nodeID);
      if (node?.Spec.Availability === "active" && node.Description) {
        misplaced.push(...misplacedTasks(store, node));
      }
    }
    this.#nodes.clear();
    const at = timestamp(clock);
    await store.batch(misplaced, (tx, { ID }) => {
      const task = tx.get("tasks", ID);
      if (task === undefined || !isWanted(task) || isTerminal(task.Status.State)) return;
      tx.update("tasks", withStatus(task, at, "rejected", "assigned node no longer meets constraints"));
    });
  }
}
