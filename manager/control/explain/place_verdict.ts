/**
 * Why a place of a service (a slot, or a device of a global service) is not as the service wants it: one state and one
 * sentence. Pure.
 */
import type { Node } from "../../../api/node.ts";
import type { Rollout } from "../../../api/rollout.ts";
import { taskSchedule } from "../../../api/schedule.ts";
import { stagesOf } from "../../../api/rollout_labels.ts";
import { isJob, type Service } from "../../../api/service.ts";
import { isCompletedJob, isNodeBound, type Task } from "../../../api/task.ts";
import { compareStates, isTerminal } from "../../../api/task_state.ts";
import { isWanted } from "../../task/task.ts";

/**
 * Where a place stands: `running` the present version and `completed` its work are well; `starting` gets there by itself;
 * `pending` waits for a node that takes it; `offline` and `paused` wait for their device; `waiting` has yet to have its turn
 * in a rollout; `held` waits because the rollout stopped; `failed` did not do well; `ineligible` shall have none.
 */
export const STANDINGS = [
  "failed",
  "held",
  "pending",
  "offline",
  "paused",
  "waiting",
  "starting",
  "ineligible",
  "completed",
  "running",
] as const;
export type Standing = typeof STANDINGS[number];

/** A place's state, and why in one sentence. */
export interface PlaceVerdict {
  Standing: Standing;
  Reason: string;
}

/** What is known of a place. */
export interface Place {
  service: Service;
  /** As the rollout calls it: a node's ID, or a slot's number. */
  name: string;
  /** The device that it is of, or that its newest task is on. */
  node: Node | undefined;
  /** Of the present run of a job, oldest first. */
  tasks: readonly Task[];
  /** Those that count, see `liveTasks`. */
  live: readonly Task[];
  isDirty(task: Task): boolean;
  /** Constraints of the service that the node does not meet. */
  unmet: readonly string[];
}

/** Judges one place. */
export function judgePlace(place: Place): PlaceVerdict {
  const { live, isDirty } = place;
  const ineligible = isOwnDevice(place) ? whyIneligible(place) : undefined;
  if (ineligible !== undefined) return { Standing: "ineligible", Reason: ineligible };
  const clean = live.filter((task) => !isDirty(task));
  const present = clean.find(({ Status }) => Status.State === "running") ?? clean.at(-1);
  if (present === undefined) return live.length > 0 ? judgeOld(place) : judgeEmpty(place);
  const verdict = withLastFailure(place, present, judgePresent(place, present));
  const old = live.find((task) => task !== present && isDirty(task) && isWanted(task));
  return old === undefined
    ? verdict
    : { ...verdict, Reason: `${verdict.Reason}; the previous version is there too` };
}

/** True for a device of a global service, of which the service wants something or not. */
function isOwnDevice({ service }: Place): boolean {
  return "Global" in service.Spec.Mode || "GlobalJob" in service.Spec.Mode;
}

function whyIneligible({ node, unmet }: Place): string | undefined {
  if (node?.Spec.Availability === "drain") return "the node is drained, so it shall have no task";
  return unmet.length === 0 ? undefined : `the node does not meet ${unmet.join(", ")}`;
}

/** Why the device cannot be worked with; undefined if it can. */
export function whyUnreachable(node: Node | undefined): PlaceVerdict | undefined {
  if (node === undefined) return undefined;
  const { State, Message } = node.Status;
  if (State !== "ready") {
    const why = Message ? ` (${Message})` : "";
    const state = State === "unknown" ? "has not been heard from since the manager changed" : `is ${State}`;
    return { Standing: "offline", Reason: `the node ${state}${why}` };
  }
  return node.Spec.Availability === "pause"
    ? { Standing: "paused", Reason: "the node is paused" }
    : undefined;
}

/** The place has a task of the present version. */
function judgePresent(place: Place, task: Task): PlaceVerdict {
  const { State, Message, Err } = task.Status;
  if (isCompletedJob(task)) return { Standing: "completed", Reason: `the task completed (${task.ID})` };
  if (isTerminal(State)) return ended(task);
  const away = task.NodeID === "" ? undefined : whyUnreachable(place.node);
  if (away?.Standing === "offline") {
    const what = State === "running"
      ? "its task ran when it was last heard from"
      : "it has yet to hear of its task, or to say that it runs";
    return { ...away, Reason: `${away.Reason}; ${what}` };
  }
  if (State === "running") {
    if (taskSchedule(task) !== undefined) return { Standing: "running", Reason: scheduledReason(task) };
    return { Standing: "running", Reason: `runs since ${task.RunningAt ?? task.Status.Timestamp}` };
  }
  if (compareStates(State, "assigned") < 0) {
    return { Standing: "pending", Reason: Err || "the scheduler has yet to look at it" };
  }
  if (task.DesiredState === "ready") {
    return { Standing: "starting", Reason: "waits for the task before it to stop, or for the restart delay" };
  }
  const step = Err ? `${Message}: ${Err}` : Message;
  return {
    Standing: "starting",
    Reason: `the task is ${State}${step && step !== State ? ` (${step})` : ""}`,
  };
}

/** A job that runs by the clock: when it runs, and how its last run ended. */
function scheduledReason({ Status: { Message, Err, Runs = [] } }: Task): string {
  const last = Runs.at(-1);
  const how = last === undefined ? "" : `; its run of ${last.Scheduled} is ${last.State}`;
  return `${Message}${how}${Err ? `; ${Err}` : ""}`;
}

/** A task that is tried again and again is always just starting: why the one before ended is what people ask. */
function withLastFailure({ tasks }: Place, present: Task, verdict: PlaceVerdict): PlaceVerdict {
  if (verdict.Standing !== "starting" && verdict.Standing !== "pending") return verdict;
  const before = tasks.findLast((task) => task !== present && isFailed(task));
  if (before === undefined) return verdict;
  const how = before.Status.Err || before.Status.Message;
  return { ...verdict, Reason: `${verdict.Reason}; the task before it is ${before.Status.State}: ${how}` };
}

function ended({ Spec, Status, DesiredState }: Task): PlaceVerdict {
  const { State, Err, Message, ContainerStatus } = Status;
  const code = ContainerStatus?.ExitCode;
  const how = Err || (code === undefined ? Message : `exit code ${code}`) || Message;
  const rests = compareStates(DesiredState, "complete") > 0;
  const { Condition = "any", MaxAttempts = 0 } = Spec.RestartPolicy ?? {};
  const attempts = MaxAttempts > 0 ? `, at most ${MaxAttempts} attempts` : "";
  const next = rests
    ? `its restart policy (${Condition}${attempts}) does not try it again`
    : "it is followed by another";
  return { Standing: "failed", Reason: `the task is ${State}: ${how}; ${next}` };
}

/** The place has nothing but an earlier version. */
function judgeOld(place: Place): PlaceVerdict {
  const { service, node, live } = place;
  const status = service.UpdateStatus, rollout = status?.Rollout;
  const has = live.some(({ Status }) => Status.State === "running")
    ? "the previous version runs"
    : "has the previous version";
  const failure = rollout?.Failures.some(({ Place }) => Place === place.name) ?? false;
  const failed = place.tasks.findLast((task) => isFailed(task) && !place.isDirty(task));
  if (failure || failed) {
    const how = failed === undefined ? "" : `: ${failed.Status.Err || failed.Status.Message}`;
    return { Standing: "failed", Reason: `the new version failed here${how}; ${has}` };
  }
  const away = isOwnDevice(place) || live.every(isNodeBound) ? whyUnreachable(node) : undefined;
  if (away) return { ...away, Reason: `${away.Reason}; ${has}, and it is updated when it is back` };
  if (status === undefined || rollout === undefined) {
    return { Standing: "waiting", Reason: `${has}; its update has not begun` };
  }
  const verdict = whyNotYet(service, rollout, status.Message);
  return { ...verdict, Reason: `${verdict.Reason}; ${has}` };
}

function isFailed({ Status }: Task): boolean {
  return Status.State === "failed" || Status.State === "rejected";
}

function whyNotYet(service: Service, rollout: Rollout, message: string): PlaceVerdict {
  const stages = Math.max(1, stagesOf(service.Spec).length);
  const stage = `stage ${rollout.Stage + 1} of ${stages}`;
  const waiting = (Reason: string): PlaceVerdict => ({ Standing: "waiting", Reason });
  const held = (Reason: string): PlaceVerdict => ({ Standing: "held", Reason });
  switch (rollout.State) {
    case "awaiting_promotion":
      return held(`the rollout waits for somebody to promote ${stage}`);
    case "paused":
    case "timed_out":
    case "aborted":
      return held(`the rollout is ${rollout.State.replace("_", " ")} in ${stage} (${message})`);
    case "baking":
      return waiting(`the rollout watches ${stage} before it goes on`);
    default:
      return waiting(
        stages === 1
          ? "its turn in the update has not come"
          : `its turn has not come: the rollout is in ${stage}`,
      );
  }
}

/** The place has no task that counts. */
function judgeEmpty(place: Place): PlaceVerdict {
  const { service, node, tasks } = place;
  const last = tasks.at(-1);
  const away = isOwnDevice(place) ? whyUnreachable(node) : undefined;
  if (away) return { ...away, Reason: `${away.Reason}; it gets a task when it is back` };
  if (last !== undefined && isTerminal(last.Status.State)) return ended(last);
  if (isJob(service.Spec)) return { Standing: "waiting", Reason: "the job has yet to make a task for it" };
  return { Standing: "pending", Reason: "no task was made for it yet" };
}
