/** Lists of nodes, services, tasks, secrets and configs with Docker's filters. */
import type { Config, DependencyKind, Secret } from "../../api/dependency.ts";
import type { Node } from "../../api/node.ts";
import { modeOf, RUNTIME_CONTAINER, type Service } from "../../api/service.ts";
import { type Task, taskName } from "../../api/task.ts";
import { TASK_STATES } from "../../api/task_state.ts";
import { type ReadView, TABLE_OF } from "../store/mod.ts";
import {
  type Filters,
  matchesExactly,
  matchesFolded,
  matchesLabels,
  matchesPrefix,
  requireKnown,
} from "./filters.ts";
import { findNode, findService } from "./lookup.ts";
import { isTaskDirty } from "../orchestrator/mod.ts";

/** Filters of `GET /nodes`. */
export const NODE_FILTERS = ["name", "id", "label", "role", "membership", "node.label"];
/** Filters of `GET /services`. */
export const SERVICE_FILTERS = ["name", "id", "label", "mode", "runtime"];
/** Filters of `GET /tasks`; `_up-to-date` is the stock client's own. */
export const TASK_FILTERS = [
  "name",
  "id",
  "label",
  "service",
  "node",
  "desired-state",
  "_up-to-date",
  "runtime",
];

/** Filters of `GET /secrets` and `GET /configs`; `names` are whole ones. */
export const PAYLOAD_FILTERS: Record<DependencyKind, string[]> = {
  secret: ["names", "name", "id", "label"],
  config: ["name", "id", "label"],
};

/** Nodes by host name and ID prefix, role, engine `label` and `node.label`. Every node here is an accepted member. */
export function listNodes(view: ReadView, filters: Filters): Node[] {
  requireKnown(filters, "role", ["worker", "manager"]);
  requireKnown(filters, "membership", ["accepted", "pending"]);
  return view.all("nodes").filter((node) =>
    matchesPrefix(filters, "name", node.Description?.Hostname ?? "") &&
    matchesPrefix(filters, "id", node.ID) &&
    matchesLabels(filters, "label", node.Description?.Engine.Labels) &&
    matchesLabels(filters, "node.label", node.Spec.Labels) &&
    matchesFolded(filters, "role", node.Role) &&
    matchesFolded(filters, "membership", "accepted")
  );
}

/** Services by name and ID prefix, label, mode and runtime. */
export function listServices(view: ReadView, filters: Filters): Service[] {
  const services = view.all("services");
  return filters.size === 0
    ? services
    : services.filter(({ ID, Spec }) =>
      matchesPrefix(filters, "name", Spec.Name) &&
      matchesPrefix(filters, "id", ID) &&
      matchesLabels(filters, "label", Spec.Labels) &&
      matchesExactly(filters, "mode", modeOf(Spec)) &&
      matchesExactly(filters, "runtime", Spec.TaskTemplate.Runtime)
    );
}

/** Secrets or configs by the beginning of their name or ID, or their whole name, in any case; and by label. */
export function listPayloads(view: ReadView, kind: DependencyKind, filters: Filters): (Secret | Config)[] {
  const wanted = (filter: string) => filters.get(filter) ?? [];
  const names = wanted("names").map((each) => each.toLowerCase());
  const prefixes = wanted("name").map((each) => each.toLowerCase());
  const isAny = [names, prefixes, wanted("id")].every((each) => each.length === 0);
  // As Docker has it: of what says which one, one is enough.
  return view.all(TABLE_OF[kind]).filter(({ ID, Spec }) => {
    const name = Spec.Name.toLowerCase();
    return (isAny || names.includes(name) || prefixes.some((each) => name.startsWith(each)) ||
      wanted("id").some((each) => ID.startsWith(each))) && matchesLabels(filters, "label", Spec.Labels);
  });
}

/** Tasks by service, node, desired state, name and ID prefix, label and runtime. Throws `not_found` as a lookup does. */
export function listTasks(view: ReadView, filters: Filters): Task[] {
  requireKnown(filters, "desired-state", Object.keys(TASK_STATES));
  const services = filters.get("service")?.map((input) => findService(view, input).ID);
  const nodes = filters.get("node")?.map((input) => findNode(view, input).ID);
  const states = filters.get("desired-state")?.map((state) => state.toLowerCase());
  const candidates = services !== undefined
    ? [...new Set(services)].flatMap((id) => view.find("tasks", "serviceID", id))
    : nodes !== undefined
    ? [...new Set(nodes)].flatMap((id) => view.find("tasks", "nodeID", id))
    : view.all("tasks");
  return candidates.filter((task) =>
    (nodes === undefined || nodes.includes(task.NodeID)) &&
    (states === undefined || states.includes(task.DesiredState)) &&
    matchesPrefix(filters, "name", taskName(task)) &&
    matchesPrefix(filters, "id", task.ID) &&
    matchesLabels(filters, "label", task.ServiceAnnotations.Labels) &&
    matchesExactly(filters, "runtime", task.Spec.Runtime || RUNTIME_CONTAINER) &&
    (!filters.has("_up-to-date") || upToDate(view, task))
  );
}

/**
 * True for a task of its service's present spec that can be waited for. The stock client, which asks for these alone, waits
 * until each of them runs: what a device that is down keeps does not hold it up.
 */
function upToDate(view: ReadView, task: Task): boolean {
  const service = view.get("services", task.ServiceID);
  if (service === undefined || isTaskDirty(view, service, task)) return false;
  const state = view.get("nodes", task.NodeID)?.Status.State ?? "down";
  return task.NodeID === "" || state !== "down";
}
