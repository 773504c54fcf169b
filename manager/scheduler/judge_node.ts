/** Whether nodes would take a task now, for whoever asks beside the scheduler. */
import type { Node } from "../../api/node.ts";
import type { Task } from "../../api/task.ts";
import type { ReadView } from "../store/store.ts";
import { refusalOf } from "./filters.ts";
import { NodeInfo, occupies } from "./node_info.ts";
import { ServiceTasks } from "./service_tasks.ts";

/**
 * Why `node`, with the tasks that it has but those of `leaving` (IDs), takes no task like `task`: what follows "the node";
 * undefined if it takes one.
 */
export function whyRefused(
  view: ReadView,
  node: Node,
  task: Task,
  leaving: ReadonlySet<string> = new Set(),
): string | undefined {
  const info = new NodeInfo(node, new ServiceTasks(), view);
  for (const other of view.find("tasks", "nodeID", node.ID)) {
    if (occupies(other) && !leaving.has(other.ID)) info.put(other);
  }
  return refusalOf(task, info);
}
