/** Tasks as the orchestrators make and judge them. Pure. */
import { type Clock, timestamp } from "../../api/clock.ts";
import type { Cluster } from "../../api/cluster.ts";
import type { Annotations } from "../../api/objects.ts";
import { newID, type Random } from "../../api/random.ts";
import {
  isJob,
  type PortConfig,
  publishesByIngress,
  type Service,
  type TaskSpec,
} from "../../api/service.ts";
import { isCompletedJob, type Task, type TaskStatus } from "../../api/task.ts";
import { compareStates, isTerminal, type TaskState } from "../../api/task_state.ts";
import { nodeMatches } from "../placement/constraint.ts";
import { unsealedFor } from "./seals.ts";
import { hasOtherVariables } from "./variables.ts";
import type { ReadView } from "../store/store.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import { dependsOn, taskDependsOn } from "../../api/start_order.ts";
import { reloadSignals } from "../../api/reload.ts";
import type { RolloutMark } from "../../api/rollout.ts";

/** Where a task belongs: a numbered slot, or the node that it is made for. */
export type Place = { slot: number } | { nodeID: string };

/** The place of `task`, for a replacement. */
export function placeOf(task: Pick<Task, "Slot" | "NodeID">): Place {
  return task.Slot === undefined ? { nodeID: task.NodeID } : { slot: task.Slot };
}

function hostPorts(service: Service): PortConfig[] | undefined {
  const ports = service.Spec.EndpointSpec?.Ports?.filter((port) => port.PublishMode === "host");
  return ports?.length ? ports : undefined;
}

const annotations = new WeakMap<Service["Spec"], Annotations>();

/** One object for all tasks of a service: a large one has hundreds of thousands. */
function annotationsOf({ Spec }: Service): Annotations {
  let shared = annotations.get(Spec);
  if (shared === undefined) annotations.set(Spec, shared = { Name: Spec.Name, Labels: Spec.Labels });
  return shared;
}

/** A new task of `service`, observed `new` and desired as {@linkcode goalOf} says; one bound to a node has it preset. */
export function newTask(
  service: Service,
  place: Place,
  cluster: Cluster | undefined,
  clock: Clock,
  random: Random,
): Task {
  const now = timestamp(clock);
  const ports = hostPorts(service);
  const Spec = service.Spec.TaskTemplate;
  const iteration = iterationOf(service);
  const job = iteration === undefined ? {} : { JobIteration: { Index: iteration } };
  const logDriver = Spec.LogDriver === undefined ? cluster?.Spec.TaskDefaults.LogDriver : undefined;
  return {
    ID: newID(random),
    Version: { Index: 0 },
    CreatedAt: now,
    UpdatedAt: now,
    Spec,
    SpecVersion: service.SpecVersion,
    ServiceID: service.ID,
    ...("slot" in place ? { Slot: place.slot, NodeID: "" } : { NodeID: place.nodeID }),
    ServiceAnnotations: annotationsOf(service),
    Status: { Timestamp: now, State: "new", Message: "created" },
    DesiredState: goalOf(job),
    ...job,
    ...(logDriver && { LogDriver: logDriver }),
    ...(ports && { Ports: ports }),
    ...(publishesByIngress(service.Spec) && { Ingress: true }),
  };
}

/**
 * True if `task` is not what `service` now asks for, or one of its variables has another value for the node. A task whose spec differs in placement only stays clean
 * as long as the node that it is on still matches.
 */
export function isTaskDirty(view: ReadView, service: Service, task: Task): boolean {
  const { TaskTemplate } = service.Spec;
  if (hasOtherVariables(view, TaskTemplate, task)) return true;
  if (task.SpecVersion?.Index === service.SpecVersion.Index) return false;
  if (!deepEqual(hostPorts(service), task.Ports)) return true;
  // Which ports they are is the nodes' business; the task only has to be where they lead.
  if (publishesByIngress(service.Spec) !== (task.Ingress ?? false)) return true;
  // A label may say it; else it stands in the spec, which is looked at below.
  if (!deepEqual(dependsOn(service.Spec), taskDependsOn(task))) return true;
  // Once the image is there, it does not matter with which credentials it was to be pulled.
  const isPulled = compareStates(task.Status.State, "ready") >= 0;
  const [given, had] = [TaskTemplate, task.Spec].map((spec) => isPulled ? withoutAuth(spec) : spec);
  if (deepEqual(given, had)) return false;
  const wanted = said(given) as TaskSpec, present = said(had) as TaskSpec;
  if (deepEqual(wanted, present)) return false;
  const { Placement: placement, ...rest } = wanted;
  const { Placement: _, ...taskRest } = present;
  const node = view.get("nodes", task.NodeID);
  return !(deepEqual(rest, taskRest) && node !== undefined && nodeMatches(placement, node));
}

/** True if the running program of `task` can be told of all that `service` asks for otherwise than before. */
export function mayReload(view: ReadView, service: Service, task: Task): boolean {
  const node = view.get("nodes", task.NodeID), { TaskTemplate } = service.Spec;
  return task.Status.State === "running" && isWanted(task) && node?.Status.State === "ready" &&
    node.Description?.Reloads?.includes(TaskTemplate.Runtime) === true &&
    unsealedFor(view, TaskTemplate, task.NodeID) === undefined &&
    deepEqual(hostPorts(service), task.Ports) && !hasOtherVariables(view, TaskTemplate, task) &&
    reloadSignals(said(withoutAuth(task.Spec)), said(withoutAuth(TaskTemplate))) !== undefined;
}

/** `task` with what `service` asks for, of which its node tells the program; it counts as begun anew `at` then. */
export function reloaded(service: Service, task: Task, mark: RolloutMark, at: string): Task {
  const { Spec, SpecVersion } = service;
  const ServiceAnnotations = { Name: Spec.Name, Labels: Spec.Labels };
  return { ...task, Spec: Spec.TaskTemplate, SpecVersion, ServiceAnnotations, RunningAt: at, Rollout: mark };
}

function withoutAuth(spec: TaskSpec): TaskSpec {
  if (spec.ContainerSpec?.PullOptions === undefined) return spec;
  const { PullOptions: _, ...ContainerSpec } = spec.ContainerSpec;
  return { ...spec, ContainerSpec };
}

/** `value` without empty objects: one client writes them where another writes nothing, and both ask for the same. */
function said<T>(value: T): T {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).map(([key, each]) => [key, said(each)] as const);
  return Object.fromEntries(entries.filter(([, each]) => !isEmptyRecord(each))) as T;
}

function isEmptyRecord(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.keys(value).length === 0;
}

/** True while the task is wanted: desired at most `complete`, which only tasks of jobs are. */
export function isWanted(task: Pick<Task, "DesiredState">): boolean {
  return compareStates(task.DesiredState, "complete") <= 0;
}

/** The desired state of a task that may start: a job's runs to its end. */
export function goalOf(task: Pick<Task, "JobIteration">): TaskState {
  return task.JobIteration === undefined ? "running" : "complete";
}

/** The run that a job is at; undefined for a service that is none. */
export function iterationOf({ Spec, JobStatus }: Pick<Service, "Spec" | "JobStatus">): number | undefined {
  return isJob(Spec) ? JobStatus?.JobIteration.Index ?? 0 : undefined;
}

/** True if `task` belongs to what `service` does now: for a job, to its present run. */
export function isOfIteration(service: Pick<Service, "Spec" | "JobStatus">, task: Task): boolean {
  return iterationOf(service) === task.JobIteration?.Index;
}

/** True for what an earlier run of a job left at work, or waiting to be. What ended stays as history. */
export function isLeftover(service: Pick<Service, "Spec" | "JobStatus">, task: Task): boolean {
  return isWanted(task) && !isCompletedJob(task) && !isOfIteration(service, task);
}

/** `task` with a desired state at least `state`: a desired state never decreases. */
export function withDesired(task: Task, state: TaskState): Task {
  return compareStates(task.DesiredState, state) >= 0 ? task : { ...task, DesiredState: state };
}

/** `task` with what its agent reports at `now` (RFC 3339). A device's own clock may be wrong; when it began to run is the manager's. */
export function withReport(task: Task, status: TaskStatus, now: string): Task {
  const begins = status.State === "running" && task.RunningAt === undefined;
  return { ...task, Status: status, ...(begins && { RunningAt: now }) };
}

/** `task` observed in `state` at `at` (RFC 3339). */
export function withStatus(task: Task, at: string, state: TaskState, message: string, err?: string): Task {
  const changed = { Timestamp: at, State: state, Message: message };
  return {
    ...task,
    Status: { ...withoutError(task.Status), ...changed, ...(err !== undefined && { Err: err }) },
  };
}

/** Leaving a field out copies slowly, and few have it. */
function withoutError(status: TaskStatus): TaskStatus {
  if (status.Err === undefined) return status;
  const { Err: _, ...rest } = status;
  return rest;
}

/**
 * True if nobody has to wait for `task` to stop: it has ended, never reached a node, or its node is gone or
 * down.
 */
export function isStopped(view: ReadView, task: Task): boolean {
  if (isTerminal(task.Status.State) || task.NodeID === "") return true;
  const node = view.get("nodes", task.NodeID);
  return node === undefined || node.Status.State === "down" ||
    compareStates(task.Status.State, "assigned") < 0;
}

/** The task of a slot (oldest first) that was the last to change, by which the slot is judged when none is wanted. */
export function lastToChange(slot: readonly Task[]): Task | undefined {
  let last: Task | undefined;
  for (const task of slot) if (last === undefined || task.Version.Index >= last.Version.Index) last = task;
  return last;
}
