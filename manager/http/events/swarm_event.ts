/** Changes of the store as Docker's events (moby `daemon/events.go`). */
import type { DependencyKind, Secret } from "../../../api/dependency.ts";
import type { Node } from "../../../api/node.ts";
import { deepEqual } from "../../../api/deep_equal.ts";
import type { Rollout } from "../../../api/rollout.ts";
import { stagesOf } from "../../../api/rollout_labels.ts";
import { isGlobal, replicas, type Service } from "../../../api/service.ts";
import type { StreamUse } from "../../../api/streams.ts";
import { taskName } from "../../../api/task.ts";
import type { StreamUsage } from "../../broker/mod.ts";
import type { Change } from "../../store/store.ts";

/** One event; `timeMs` is milliseconds since 1970. */
export interface SwarmEvent {
  Type: "node" | "service" | "network" | "task" | DependencyKind;
  /** Of a task: `exec: COMMAND`, `copy: DIRECTION PATH`, `forward: port PORT`, as Docker has it of its containers. */
  Action: "create" | "update" | "remove" | `${StreamUse["Kind"]}: ${string}`;
  Actor: { ID: string; Attributes: Record<string, string> };
  timeMs: number;
}

/** What the objects of a table are called in events. */
const TYPES = {
  nodes: "node",
  services: "service",
  secrets: "secret",
  configs: "config",
  networks: "network",
} as const;

/** The event that tells of `change`; undefined for what Docker tells nothing of. `nowMs` dates a removal. */
export function swarmEvent(change: Change, nowMs: number): SwarmEvent | undefined {
  const { object } = change;
  if (!Object.hasOwn(TYPES, change.table)) return undefined;
  const action = change.table === "networks" ? networkAction(change) : change.action;
  if (action === undefined) return undefined;
  const timeMs = action === "create"
    ? Date.parse(object.CreatedAt)
    : action === "update"
    ? Date.parse(object.UpdatedAt)
    : nowMs;
  const old = action === "update" ? change.old : undefined;
  if (change.table === "services" && old && isProgress(change.object, old as Service)) return undefined;
  const Attributes = change.table === "nodes"
    ? nodeAttributes(change.object, old as Node | undefined)
    : change.table === "services"
    ? serviceAttributes(change.object, old as Service | undefined)
    : { name: (object as Secret).Spec.Name };
  return {
    Type: TYPES[change.table as keyof typeof TYPES],
    Action: action,
    Actor: { ID: object.ID, Attributes },
    timeMs,
  };
}

/** The event that tells of somebody who uses a task. */
export function useEvent({ task, by, what }: StreamUsage, nowMs: number): SwarmEvent {
  const [kind, ...rest] = what.split(" ");
  const Attributes = { name: taskName(task), by, service: task.ServiceID, node: task.NodeID ?? "" };
  return {
    Type: "task",
    Action: `${kind as StreamUse["Kind"]}: ${rest.join(" ")}`,
    Actor: { ID: task.ID, Attributes },
    timeMs: nowMs,
  };
}

/** A network is removed when nobody can find it any more, not when its last task has left it. */
function networkAction({ action, object, old }: Extract<Change, { table: "networks" }>) {
  if (action === "create") return action;
  return object.RemovedAt !== undefined && old?.RemovedAt === undefined ? "remove" : undefined;
}

/** Notes `name.old` and `name.new` where they differ. */
function note(
  attributes: Record<string, string>,
  name: string,
  before: string | undefined,
  after: string | undefined,
): void {
  if (before === after) return;
  if (before !== undefined) attributes[`${name}.old`] = before;
  if (after !== undefined) attributes[`${name}.new`] = after;
}

function nodeAttributes(node: Node, old: Node | undefined): Record<string, string> {
  const attributes: Record<string, string> = { name: node.Spec.Name || (node.Description?.Hostname ?? "") };
  if (old === undefined) return attributes;
  note(attributes, "availability", old.Spec.Availability, node.Spec.Availability);
  note(attributes, "role", old.Role, node.Role);
  note(attributes, "state", old.Status.State, node.Status.State);
  return attributes;
}

function serviceAttributes(service: Service, old: Service | undefined): Record<string, string> {
  const attributes: Record<string, string> = { name: service.Spec.Name };
  if (old === undefined) return attributes;
  const image = ({ Spec }: Service) => Spec.TaskTemplate.ContainerSpec?.Image;
  note(attributes, "image", image(old), image(service));
  if (!isGlobal(service.Spec)) {
    note(attributes, "replicas", `${replicas(old.Spec)}`, `${replicas(service.Spec)}`);
  }
  if (service.UpdateStatus !== undefined) {
    note(attributes, "updatestate", old.UpdateStatus?.State, service.UpdateStatus.State);
  }
  if (stagesOf(service.Spec).length === 0) return attributes;
  const before = old.UpdateStatus?.Rollout, after = service.UpdateStatus?.Rollout;
  note(attributes, "rollout.state", before?.State, after?.State);
  note(attributes, "rollout.stage", stageNumber(before), stageNumber(after));
  return attributes;
}

/** Whether nothing changed but the counts of an update, of which Docker tells nothing. */
function isProgress(service: Service, old: Service): boolean {
  const before = old.UpdateStatus?.Rollout, after = service.UpdateStatus?.Rollout;
  if (!before || !after || before.State !== after.State || before.Stage !== after.Stage) return false;
  const rest = ({ Version: _, UpdatedAt: __, UpdateStatus, ...kept }: Service) => ({
    ...kept,
    UpdateStatus: { ...UpdateStatus, Rollout: undefined },
  });
  return deepEqual(rest(service), rest(old));
}

function stageNumber(rollout: Rollout | undefined): string | undefined {
  return rollout && String(rollout.Stage + 1);
}

/** The event as a line of JSON. Nanoseconds exceed what a JavaScript number holds, so they are written as digits. */
export function eventLine({ Type, Action, Actor, timeMs }: SwarmEvent): string {
  const head = JSON.stringify({ Type, Action, Actor, scope: "swarm", time: Math.floor(timeMs / 1000) });
  return `${head.slice(0, -1)},"timeNano":${Math.floor(timeMs)}000000}\n`;
}
