/** Answers "why is this not running, or not on the new version, there?" for a service, a task and a node. */
import type { Node } from "../../../api/node.ts";
import { isJob, modeOf, replicas, type Service } from "../../../api/service.ts";
import { isNodeBound, slotKey, type Task, taskName } from "../../../api/task.ts";
import { foldedName, taskDependsOn } from "../../../api/start_order.ts";
import { unmetConstraints } from "../../placement/constraint.ts";
import { liveTasks } from "../../restart/restart_policy.ts";
import { whyRefused } from "../../scheduler/mod.ts";
import type { ReadView } from "../../store/store.ts";
import { isOfIteration, isTaskDirty, isWanted } from "../../task/task.ts";
import {
  judgePlace,
  type Place,
  type PlaceVerdict,
  type Standing,
  STANDINGS,
  whyUnreachable,
} from "./place_verdict.ts";

/** Places that are listed, those in trouble first: what people read; the counts are whole. */
const MAX_LISTED = 1000;
/** Nodes that are asked why they do not take a task: each costs as much as it has tasks. */
const MAX_ASKED_NODES = 1000;

/** One place of a service, and why it stands as it does. */
export interface ExplainedPlace extends PlaceVerdict {
  Service: { ID: string; Name: string };
  /** The slot's number; of a device of a global service the node's ID. */
  Place: string;
  NodeID?: string;
  TaskID?: string;
}

/** The answer. */
export interface Explanation {
  ID: string;
  Name: string;
  /** How it stands as a whole, in a sentence. */
  Summary: string;
  /** Places by standing. */
  Counts: Partial<Record<Standing, number>>;
  Places: ExplainedPlace[];
  /** Why each node does not take the tasks that have none. */
  Refusals: { NodeID: string; Reason: string }[];
}

/** All places of a service. */
export function explainService(view: ReadView, service: Service, nowMs: number): Explanation {
  const bySlot = Map.groupBy(view.find("tasks", "serviceID", service.ID), slotKey);
  const places: ExplainedPlace[] = [];
  if (isGlobal(service)) {
    for (const node of view.all("nodes")) {
      const tasks = bySlot.get(slotKey({ ServiceID: service.ID, NodeID: node.ID })) ?? [];
      places.push(explained(view, service, node.ID, tasks, node, nowMs));
    }
  } else {
    for (const tasks of bySlot.values()) {
      const slot = tasks[0]!.Slot;
      if (slot === undefined || tasks.every(({ DesiredState }) => DesiredState === "remove")) continue;
      places.push(explained(view, service, String(slot), tasks, undefined, nowMs));
    }
  }
  const waiting = view.find("tasks", "serviceID", service.ID).find(needsNode);
  return {
    ID: service.ID,
    Name: service.Spec.Name,
    Summary: summaryOf(service, places),
    ...sorted(places),
    Refusals: waiting === undefined ? [] : refusals(view, waiting),
  };
}

/** The place of one task, and what became of the task itself. */
export function explainTask(view: ReadView, task: Task, nowMs: number): Explanation {
  const service = view.get("services", task.ServiceID);
  const head = { ID: task.ID, Name: taskName(task) };
  if (service === undefined) {
    const Summary = `its service was removed; the task is ${task.Status.State} and shall be removed`;
    return { ...head, Summary, ...sorted([]), Refusals: [] };
  }
  const tasks = view.find("tasks", "slot", slotKey(task));
  const node = isNodeBound(task) ? view.get("nodes", task.NodeID) : undefined;
  const name = task.Slot === undefined ? task.NodeID : String(task.Slot);
  return {
    ...head,
    Summary: taskSummary(task, tasks),
    ...sorted([explained(view, service, name, tasks, node, nowMs)]),
    Refusals: needsNode(task) ? refusals(view, task) : [],
  };
}

/** What a node has of each service, and what it shall have of each global one. */
export function explainNode(view: ReadView, node: Node, nowMs: number): Explanation {
  const bySlot = Map.groupBy(view.find("tasks", "nodeID", node.ID), slotKey);
  const places: ExplainedPlace[] = [];
  for (const service of view.all("services")) {
    if (!isGlobal(service)) continue;
    const key = slotKey({ ServiceID: service.ID, NodeID: node.ID });
    places.push(explained(view, service, node.ID, bySlot.get(key) ?? [], node, nowMs));
  }
  for (const [key, [task]] of bySlot) {
    const service = view.get("services", task!.ServiceID);
    const tasks = view.find("tasks", "slot", key), newest = tasks.findLast(isWanted) ?? tasks.at(-1)!;
    if (service === undefined || task!.Slot === undefined || newest.NodeID !== node.ID) continue;
    places.push(explained(view, service, String(task!.Slot), tasks, undefined, nowMs));
  }
  return {
    ID: node.ID,
    Name: node.Description?.Hostname || node.ID,
    Summary: nodeSummary(node),
    ...sorted(places),
    Refusals: [],
  };
}

function isGlobal({ Spec }: Service): boolean {
  return modeOf(Spec) === "global" || modeOf(Spec) === "global-job";
}

function needsNode(task: Task): boolean {
  return task.NodeID === "" && task.Status.State === "pending" && isWanted(task);
}

function explained(
  view: ReadView,
  service: Service,
  name: string,
  all: readonly Task[],
  device: Node | undefined,
  nowMs: number,
): ExplainedPlace {
  const tasks = all.filter((task) => isOfIteration(service, task));
  const live = liveTasks(view, service, [...tasks], nowMs);
  const newest = live.at(-1) ?? tasks.at(-1);
  const node = device ?? (newest && view.get("nodes", newest.NodeID));
  const place: Place = {
    service,
    name,
    node,
    tasks,
    live,
    isDirty: (task) => isTaskDirty(view, service, task),
    unmet: device === undefined ? [] : unmetConstraints(service.Spec.TaskTemplate.Placement, device),
  };
  return {
    Service: { ID: service.ID, Name: service.Spec.Name },
    Place: name,
    ...(node && { NodeID: node.ID }),
    ...(newest && { TaskID: newest.ID }),
    ...withAbsent(view, judgePlace(place), newest, node, nowMs),
  };
}

/** A task that waits for a service which its node has no task of: says why that is so. */
function withAbsent(
  view: ReadView,
  verdict: PlaceVerdict,
  task: Task | undefined,
  node: Node | undefined,
  nowMs: number,
): PlaceVerdict {
  const mayStart = task?.Status.State === "ready" && task.DesiredState !== "ready" && isWanted(task);
  if (!mayStart || node === undefined) return verdict;
  const here = view.find("tasks", "nodeID", node.ID).filter((each) => isWanted(each));
  const absent = taskDependsOn(task).flatMap(({ Service: name }) => {
    const [service] = view.find("services", "name", foldedName(name));
    if (service === undefined) return [`there is no service ${name}`];
    if (here.some(({ ServiceID }) => ServiceID === service.ID)) return [];
    const why = isGlobal(service)
      ? explained(view, service, node.ID, [], node, nowMs).Reason
      : "none of its tasks is placed there";
    return [`${name}: ${why}`];
  });
  return absent.length === 0 ? verdict : { ...verdict, Reason: [verdict.Reason, ...absent].join("; ") };
}

function sorted(places: ExplainedPlace[]): Pick<Explanation, "Counts" | "Places"> {
  const Counts: Explanation["Counts"] = {};
  for (const { Standing } of places) Counts[Standing] = (Counts[Standing] ?? 0) + 1;
  const rank = ({ Standing }: ExplainedPlace) => STANDINGS.indexOf(Standing);
  const Places = places.toSorted((a, b) =>
    rank(a) - rank(b) || Number(a.Place) - Number(b.Place) || (a.Place < b.Place ? -1 : 1)
  );
  return { Counts, Places: Places.slice(0, MAX_LISTED) };
}

function refusals(view: ReadView, task: Task): Explanation["Refusals"] {
  return view.all("nodes").slice(0, MAX_ASKED_NODES).flatMap((node) => {
    const why = whyRefused(view, node, task);
    return why === undefined ? [] : [{ NodeID: node.ID, Reason: `the node ${why}` }];
  });
}

function summaryOf(service: Service, places: readonly ExplainedPlace[]): string {
  const wanted = places.filter(({ Standing }) => Standing !== "ineligible").length;
  const good = places.filter(({ Standing }) => Standing === "running" || Standing === "completed").length;
  const what = isJob(service.Spec) ? "are at work or done" : "run the present version";
  const missing = Math.max(0, replicas(service.Spec) - places.length);
  const status = service.UpdateStatus;
  const update = status === undefined
    ? ""
    : `; its last update is ${status.State.replaceAll("_", " ")} (${status.Message})`;
  return `${good} of ${wanted + missing} ${isGlobal(service) ? "devices" : "slots"} ${what}${update}`;
}

function taskSummary(task: Task, slot: readonly Task[]): string {
  const { State, Message, Err } = task.Status;
  const is = `the task is ${State}${Err || Message ? ` (${Err || Message})` : ""}`;
  if (isWanted(task)) return is;
  const next = slot.find((other) => other !== task && isWanted(other));
  return `${is} and not wanted any more${next === undefined ? "" : `: ${next.ID} follows it`}`;
}

function nodeSummary(node: Node): string {
  const missing = Object.entries(node.Description?.MissingRuntimes ?? {})
    .map(([runtime, why]) => `; its ${runtime} runtime does not work (${why})`).join("");
  const away = whyUnreachable(node)?.Reason ??
    (node.Spec.Availability === "drain" ? "the node is drained" : "the node is ready");
  return away + missing;
}
