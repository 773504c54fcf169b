/**
 * Tasks: one run of a service's program on one node. A task is one-shot and never moves; its spec changes only where its
 * program is told of other versions of secrets and configs (`reload.ts`).
 */
import type { Annotations, GenericResource, Meta, Version } from "./objects.ts";
import type { NetworkAttachment } from "./network.ts";
import type { RolloutMark } from "./rollout.ts";
import type { ScheduledRun } from "./schedule.ts";
import type { LogDriver, PortConfig, TaskSpec } from "./service.ts";
import type { SwapReport, TaskSwap } from "./swap.ts";
import type { TaskState } from "./task_state.ts";

/**
 * What the executor tells of the running thing; process tasks fill `PID` and `ExitCode` too.
 *
 * @example
 * ```ts
 * const ended: ContainerStatus = { ContainerID: "", PID: 0, ExitCode: 137 };
 * ```
 */
export interface ContainerStatus {
  ContainerID: string;
  PID: number;
  ExitCode: number;
}

/**
 * Restarts of a task in place that its status has the times of: more attempts than a policy has a use for. Of a policy that
 * allows more, no end is reached in place.
 */
export const MAX_RESTARTS = 64;

/**
 * Last observed state of a task.
 *
 * @example
 * ```ts
 * const failed: TaskStatus = {
 *   Timestamp: "2026-01-01T00:00:00.000Z",
 *   State: "failed",
 *   Message: "started",
 *   Err: "task: non-zero exit (1)",
 * };
 * ```
 */
export interface TaskStatus {
  Timestamp: string;
  State: TaskState;
  /** What is happening, in words: `started`, `preparing`, `pending task scheduling`. */
  Message: string;
  /** Why it is not running, in words; empty when all is well. */
  Err?: string;
  ContainerStatus?: ContainerStatus;
  PortStatus?: { Ports?: PortConfig[] };
  /** What the device says of the swap that brings the task: an extension of the Engine API. */
  Swap?: SwapReport;
  /**
   * When its node ran it again in place while no manager was in reach (RFC 3339), the last {@linkcode MAX_RESTARTS}: they
   * count as attempts. An extension of the Engine API.
   */
  Restarts?: string[];
  /** Of a scheduled job: its last runs on its device, the newest last. An extension of the Engine API. */
  Runs?: ScheduledRun[];
}

/**
 * A task as stored.
 *
 * @example
 * ```ts
 * // Why a task does not run, for a person.
 * function reason({ Status }: Task): string {
 *   return Status.Err || Status.Message;
 * }
 * ```
 */
export interface Task extends Meta {
  Spec: TaskSpec;
  /** The service's SpecVersion this task was made from. */
  SpecVersion?: Version;
  ServiceID: string;
  /** 1 … n in a replicated service, 0 … n - 1 in a replicated job; none where nodes count, see {@linkcode isNodeBound}. */
  Slot?: number;
  /** Empty until the scheduler chose a node. */
  NodeID: string;
  /** Name and labels of the service when the task was made. */
  ServiceAnnotations: Annotations;
  Status: TaskStatus;
  DesiredState: TaskState;
  AssignedGenericResources?: GenericResource[];
  /** The cluster's default when the task was made, where its spec names no driver. */
  LogDriver?: LogDriver;
  /** The variables that its service uses, with the values that they had for the node when that was chosen. */
  Variables?: Record<string, string>;
  /** Host-mode ports of the service when the task was made. */
  Ports?: PortConfig[];
  /** The service publishes ports on every node when the task was made, so it is attached to the ingress network. */
  Ingress?: true;
  /** The cluster's networks that it is in, from the allocator; a name of `Spec.Networks` stands for an engine's own network. */
  NetworkAttachments?: NetworkAttachment[];
  /** When the manager first heard that it runs. */
  RunningAt?: string;
  /** The rollout that made it, if one did. */
  Rollout?: RolloutMark;
  /** Its device brings it in by itself, and keeps the task before it until then. */
  Swap?: TaskSwap;
  /** The run of the job that the task belongs to; none in a service that is no job. */
  JobIteration?: Version;
}

/**
 * True for a task that was made for one node and stays that node's, as in a global service. Of any other, the slot says
 * where it belongs, whatever its number and the node that was chosen.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.ok(isNodeBound({ NodeID: "n1" }));
 * assert.ok(!isNodeBound({ Slot: 0, NodeID: "n1" }));
 * ```
 */
export function isNodeBound(task: Pick<Task, "Slot" | "NodeID">): boolean {
  return task.Slot === undefined;
}

/** Where of its service it is: the slot, or the node. */
export function placeName(task: Pick<Task, "Slot" | "NodeID">): string {
  return task.Slot === undefined ? task.NodeID : String(task.Slot);
}

/**
 * The same for all tasks that follow one another in one place of one service: `serviceID/slot` or `serviceID/nodeID`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(slotKey({ ServiceID: "s1", Slot: 2, NodeID: "n1" }), "s1/2");
 * assert.equal(slotKey({ ServiceID: "s1", NodeID: "n1" }), "s1/n1");
 * ```
 */
export function slotKey(task: Pick<Task, "ServiceID" | "Slot" | "NodeID">): string {
  return `${task.ServiceID}/${placeName(task)}`;
}

/**
 * A task's display name: `service.slot.taskID`; with the node's ID in place of the slot for a global service.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const task = { ID: "t1", Slot: 2, NodeID: "n1", ServiceAnnotations: { Name: "web", Labels: {} } };
 * assert.equal(taskName(task), "web.2.t1");
 * const { Slot: _, ...bound } = task;
 * assert.equal(taskName(bound), "web.n1.t1");
 * ```
 */
export function taskName(task: Pick<Task, "ID" | "Slot" | "NodeID" | "ServiceAnnotations">): string {
  return `${task.ServiceAnnotations.Name}.${placeName(task)}.${task.ID}`;
}

/**
 * True for a task of a job that did its work: it is neither run again nor taken for one that has yet to run.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const Status = { Timestamp: "2026-01-01T00:00:00.000Z", State: "complete", Message: "finished" } as const;
 * assert.ok(isCompletedJob({ JobIteration: { Index: 0 }, Status }));
 * assert.ok(!isCompletedJob({ Status }));
 * ```
 */
export function isCompletedJob({ JobIteration, Status }: Pick<Task, "JobIteration" | "Status">): boolean {
  return JobIteration !== undefined && Status.State === "complete";
}
