/** Watching a service until it has converged, as `docker service create` does, with the reason wherever a task does not run. */
import { showable } from "../api/characters.ts";
import { deepEqual } from "../api/deep_equal.ts";
import { CoveyError } from "../api/errors.ts";
import { isGlobal, isJob, replicas } from "../api/service.ts";
import { isCompletedJob } from "../api/task.ts";
import { compareStates, isTerminal } from "../api/task_state.ts";
import { scheduleOf } from "../api/schedule.ts";
import { stagesOf } from "../api/rollout_labels.ts";
import { type Ending, endingOf, requireDone } from "./ending.ts";
import type { NodeView, ServiceView, TaskView } from "./api_types.ts";
import type { ControlClient } from "./client.ts";
import type { Output } from "./output.ts";
import { getService, tasksOfService } from "./lookup.ts";

/** How often progress is read: often enough to look live, rarely enough for a small manager. */
const POLL_MS = 200;
/** A service counts as converged once all its tasks have run this long, as docker verifies it. */
const STABLE_MS = 1000;
/** An unchanged picture is repeated this often where the output is not a terminal, so that a log shows life. */
const REPEAT_MS = 10_000;
/** Tasks that a line names before the rest is a number. */
const MAX_SHOWN = 3;

/** Where a service stands. */
export interface Progress {
  /** Tasks that run, or of a job have completed. */
  running: number;
  wanted: number;
  /** Slot or hostname, state and reason of each task that should run and does not. */
  waiting: { place: string; state: string; reason: string }[];
  /** Why a job cannot complete any more. */
  stopped?: string;
  /** Devices that are not waited for, and why. */
  deferred: { place: string; reason: string }[];
  /** Where a rollout by stages is, such as `stage 1 of 3, baking`. */
  stage: string;
  converged: boolean;
}

/** Computes where a service stands from what the API shows. Pure. */
export function progressOf(service: ServiceView, tasks: TaskView[], nodes: NodeView[]): Progress {
  return isJob(service.Spec) ? jobProgress(service, tasks, nodes) : serviceProgress(service, tasks, nodes);
}

/** A job is where it is to be once every task of its present run has completed; those on nodes that are down come later. */
function jobProgress({ Spec, JobStatus }: ServiceView, all: TaskView[], nodes: NodeView[]): Progress {
  const run = JobStatus?.JobIteration.Index;
  const tasks = all.filter((task) => task.JobIteration?.Index === run);
  const hostname = new Map(nodes.map((node) => [node.ID, node.Description?.Hostname ?? node.ID]));
  const down = new Set(nodes.filter((node) => node.Status.State === "down").map((node) => node.ID));
  const bySlot = [...Map.groupBy(tasks, (task) => slotOf(task)).values()];
  const isWanted = (task: TaskView) => compareStates(task.DesiredState, "complete") <= 0;
  // One that runs by the clock is where it is to be while it keeps the time.
  const isDone = scheduleOf(Spec) === undefined
    ? isCompletedJob
    : (task: TaskView) => isWanted(task) && task.Status.State === "running";
  const done = bySlot.filter((slot) => slot.some(isDone)).length;
  const rest = bySlot.filter((slot) => !slot.some(isDone));
  const open = newestBySlot(rest.flat().filter(isWanted)).filter(({ Slot, NodeID = "" }) =>
    Slot !== undefined || !down.has(NodeID)
  );
  const given = newestBySlot(rest.filter((slot) => !slot.some(isWanted)).flat());
  const waiting = open.map((task) => ({
    place: slotOf(task, hostname),
    state: task.Status.State,
    reason: task.Status.State === "running" ? "" : reasonOf(tasks, task),
  }));
  const wanted = "ReplicatedJob" in Spec.Mode
    ? Spec.Mode.ReplicatedJob.TotalCompletions
    : done + open.length + given.length;
  const [failed] = given;
  return {
    running: done,
    wanted,
    waiting,
    deferred: [],
    stage: "",
    ...(failed && done + given.length >= wanted && {
      stopped:
        `${done} of ${wanted} tasks completed, task ${slotOf(failed, hostname)} ${failed.Status.State}` +
        (failed.Status.Err ? `: ${failed.Status.Err}` : ""),
    }),
    converged: done >= wanted && waiting.length === 0,
  };
}

function serviceProgress(service: ServiceView, tasks: TaskView[], nodes: NodeView[]): Progress {
  const hostname = new Map(nodes.map((node) => [node.ID, node.Description?.Hostname ?? node.ID]));
  const current = newestBySlot(tasks.filter((task) => compareStates(task.DesiredState, "running") <= 0));
  const global = isGlobal(service.Spec);
  const absent = global ? absentNodes(nodes) : new Map<string, string>();
  const isUp = (task: TaskView) => task.Status.State === "running" && isCurrent(service, task);
  const isLeft = (task: TaskView) => {
    const why = absent.get(task.NodeID ?? "");
    return why !== undefined && (why === DOWN || !isUp(task));
  };
  const counted = current.filter((task) => !isLeft(task));
  // Those are told of, and are not waited for: nothing more comes.
  const failed = settled(service) ? failedPlaces(service) : new Set<string>();
  const lost = counted.filter((task) => !isUp(task) && failed.has(slotOf(task))).length;
  const running = counted.filter(isUp).length;
  const wanted = global ? counted.length : replicas(service.Spec);
  const waiting = counted.filter((task) => !isUp(task)).map((task) => ({
    place: slotOf(task, hostname),
    state: task.Status.State,
    reason: reasonOf(tasks, task),
  }));
  const deferred = current.filter((task) => isLeft(task) && !isUp(task)).map((task) => ({
    place: slotOf(task, hostname),
    reason: absent.get(task.NodeID ?? "")!,
  }));
  return {
    running,
    wanted,
    waiting,
    deferred,
    stage: stageOf(service),
    converged: settled(service) && running + lost >= wanted && waiting.length === lost,
  };
}

function settled({ UpdateStatus }: ServiceView): boolean {
  return UpdateStatus === undefined || !["updating", "rollback_started"].includes(UpdateStatus.State);
}

function failedPlaces({ UpdateStatus }: ServiceView): Set<string> {
  return new Set(UpdateStatus?.Rollout?.Failures.map(({ Place }) => Place));
}

const DOWN = "node is down";

/** Nodes that an update does not wait for, with the reason. */
function absentNodes(nodes: NodeView[]): Map<string, string> {
  const absent = new Map<string, string>();
  for (const { ID, Status, Spec } of nodes) {
    if (Status.State === "down") absent.set(ID, DOWN);
    else if (Status.State !== "ready") absent.set(ID, "node is not reachable");
    else if (Spec?.Availability === "pause") absent.set(ID, "node is paused");
  }
  return absent;
}

function stageOf({ Spec, UpdateStatus }: ServiceView): string {
  const rollout = UpdateStatus?.Rollout, stages = stagesOf(Spec).length;
  if (rollout === undefined || stages === 0) return "";
  return `stage ${rollout.Stage + 1} of ${stages}, ${rollout.State.replaceAll("_", " ")}`;
}

/** A task made from the service's present spec: docker compares what the task runs. */
function isCurrent(service: ServiceView, task: TaskView): boolean {
  const a = service.Spec.TaskTemplate, b = task.Spec;
  return (a.ForceUpdate ?? 0) === (b.ForceUpdate ?? 0) && a.ContainerSpec?.Image === b.ContainerSpec?.Image &&
    deepEqual([a.ProcessSpec, a.DenoSpec, a.GenericSpec], [b.ProcessSpec, b.DenoSpec, b.GenericSpec]);
}

function newestBySlot(tasks: TaskView[]): TaskView[] {
  const slots = new Map<string, TaskView>();
  for (const task of tasks) {
    const key = slotOf(task);
    const known = slots.get(key);
    if (!known || task.CreatedAt >= known.CreatedAt) slots.set(key, task);
  }
  return [...slots.values()].sort((a, b) => slotOf(a).localeCompare(slotOf(b), "en", { numeric: true }));
}

/** What a task's successors share with it: the slot, or in a global service the node, shown by its name in `hostnames`. */
function slotOf({ Slot, NodeID = "" }: TaskView, hostnames?: Map<string, string>): string {
  return Slot === undefined ? hostnames?.get(NodeID) ?? NodeID : String(Slot);
}

function reasonOf(tasks: TaskView[], task: TaskView): string {
  if (task.Status.State === "running") return "has the old version";
  return task.Status.Err || lastFailure(tasks, task) || task.Status.Message;
}

/** Why the task before this one in the same slot ended, while this one waits to be restarted. */
function lastFailure(tasks: TaskView[], task: TaskView): string {
  const before = tasks
    .filter((t) => t.ID !== task.ID && slotOf(t) === slotOf(task))
    .filter((t) => isTerminal(t.Status.State) && t.Status.Err)
    .sort((a, b) => b.CreatedAt.localeCompare(a.CreatedAt))[0];
  return before ? `previous task ${before.Status.State}: ${before.Status.Err}` : "";
}

/** One line for people: `overall progress: 2 out of 3 tasks   [pi-3: pending, no suitable node]`. */
export function progressLine(progress: Progress): string {
  const { running, wanted, waiting, deferred, stage } = progress;
  const shown = waiting.slice(0, MAX_SHOWN).map(({ place, state, reason }) =>
    // Left out where the reason is only the name of the state.
    `${place}: ${reason === "" || reason === state ? state : `${state}, ${reason}`}`
  );
  if (waiting.length > shown.length) shown.push(`and ${waiting.length - shown.length} more`);
  for (const { place, reason } of deferred.slice(0, MAX_SHOWN)) shown.push(`${place}: deferred, ${reason}`);
  if (deferred.length > MAX_SHOWN) shown.push(`and ${deferred.length - MAX_SHOWN} more deferred`);
  return `overall progress: ${running} out of ${wanted} tasks${stage === "" ? "" : ` (${stage})`}${
    shown.length > 0 ? `   [${shown.join("; ")}]` : ""
  }`;
}

/**
 * Shows progress until the service has converged and stayed so for a second. Throws {@linkcode EndedError} if its update
 * comes to rest without being done.
 * Aborting the signal (Ctrl-C) ends the watching only; the service goes on in the background. An end that was
 * `asked` for is what done is.
 */
export async function waitConverged(
  client: ControlClient,
  output: Output,
  serviceID: string,
  signal: AbortSignal,
  asked?: Ending,
): Promise<void> {
  let shown = "", shownAt = 0, convergedAt: number | undefined;
  while (!signal.aborted) {
    const seen = await look(client, serviceID).catch((thrown) => {
      if (!signal.aborted) throw thrown;
    });
    if (seen === undefined) break;
    const [service, tasks, nodes] = seen;
    const progress = progressOf(service, tasks, nodes), now = output.nowMs();
    const line = showable(progressLine(progress));
    if (line !== shown || (!output.interactive && now - shownAt >= REPEAT_MS)) {
      output.note(output.interactive ? `\r\x1b[K${line}` : `${line}\n`);
      shown = line;
      shownAt = now;
    }
    if (progress.stopped !== undefined) {
      throw new CoveyError("failed_precondition", `job incomplete: ${progress.stopped}`);
    }
    const ending = endingOf(service.UpdateStatus);
    if (ending !== undefined && ending !== "rolled back") requireDone(service.UpdateStatus);
    convergedAt = progress.converged ? convergedAt ?? now : undefined;
    if (convergedAt !== undefined && now - convergedAt >= STABLE_MS) {
      if (endingOf(service.UpdateStatus) !== asked) requireDone(service.UpdateStatus);
      break;
    }
    await pause(POLL_MS, signal);
  }
  output.note(
    `${output.interactive ? "\n" : ""}${
      signal.aborted ? "Still converging in the background" : "Service converged"
    }\n`,
  );
}

function look(client: ControlClient, serviceID: string): Promise<[ServiceView, TaskView[], NodeView[]]> {
  return Promise.all([
    getService(client, serviceID),
    tasksOfService(client, serviceID),
    client.get<NodeView[]>("/nodes"),
  ]);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
