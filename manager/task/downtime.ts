/** Whether a device may be left without a task of a service: its failure budgets say how many of a group may be. Pure. */
import { toMs } from "../../api/duration.ts";
import type { Node } from "../../api/node.ts";
import type { Service } from "../../api/service.ts";
import { slotKey, type Task } from "../../api/task.ts";
import {
  budgetsOf,
  type Group,
  GroupCount,
  groupsOf,
  labelledGroups,
  mayBeDown,
} from "../placement/budget.ts";
import type { ReadView } from "../store/store.ts";
import { isWanted } from "./task.ts";

type View = Pick<ReadView, "all" | "find">;

/** Milliseconds that a new task is watched, unless the update config says otherwise (Docker). */
const DEFAULT_MONITOR_MS = 5000;

/** True if a task of the service runs on the device, which is in reach. */
export function isServed(view: Pick<ReadView, "find">, service: Service, node: Node): boolean {
  return runningOn(view, service, node).length > 0;
}

function runningOn(view: Pick<ReadView, "find">, service: Service, node: Node): Task[] {
  if (node.Status.State !== "ready") return [];
  const tasks = view.find("tasks", "slot", slotKey({ ServiceID: service.ID, NodeID: node.ID }));
  return tasks.filter((task) => isWanted(task) && task.Status.State === "running");
}

/** The same, and what an update put there has proved itself. A date from a clock that was ahead holds up nothing. */
function isServedWell(view: Pick<ReadView, "find">, service: Service, node: Node, nowMs: number): boolean {
  const monitorMs = toMs(service.Spec.UpdateConfig?.Monitor || undefined, DEFAULT_MONITOR_MS);
  return runningOn(view, service, node).some(({ Rollout, RunningAt = "" }) => {
    const ageMs = nowMs - Date.parse(RunningAt);
    return Rollout === undefined || !(ageMs >= 0 && ageMs < monitorMs);
  });
}

/**
 * False if of one of `groups`, whose devices `membersOf` names, no more may go down. For who has counted already and asks once
 * more in the transaction: what others have taken down since shows.
 */
export function hasRoom(
  view: Pick<ReadView, "find" | "get">,
  service: Service,
  groups: readonly Group[],
  membersOf: (group: string) => readonly string[],
): boolean {
  return groups.every(({ name, budget }) => {
    const members = membersOf(name).flatMap((id) => view.get("nodes", id) ?? []);
    const down = members.filter((node) => !isServed(view, service, node)).length;
    return down < mayBeDown(budget, members.length);
  });
}

/**
 * Why the tasks of `service` on `node` must not be ended now, though they should be, in words; undefined if they may. A device
 * that is down already may lose them. `nowMs` is Unix time.
 */
export function whyToKeep(view: View, service: Service, node: Node, nowMs: number): string | undefined {
  const budgets = budgetsOf(service.Spec);
  if (budgets.length === 0 || !isServed(view, service, node)) return undefined;
  // It may have left the service, but not the site.
  const groups = labelledGroups(budgets, node);
  if (groups.length === 0) return undefined;
  const count = new GroupCount();
  for (const other of view.all("nodes")) {
    const theirs = groupsOf(service.Spec, other);
    if (theirs.length > 0) count.add(theirs, other === node || isServedWell(view, service, other, nowMs));
  }
  return count.fullGroup(groups);
}
