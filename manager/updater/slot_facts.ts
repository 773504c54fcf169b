/** What a rollout has to know about one place, read from the store. */
import { stagesOf } from "../../api/rollout_labels.ts";
import type { Node } from "../../api/node.ts";
import type { Service } from "../../api/service.ts";
import { slotKey, type Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import { type Group, groupsOf } from "../placement/budget.ts";
import { nodeMatches } from "../placement/constraint.ts";
import type { ReadView } from "../store/store.ts";
import { isHeld, type SwapReport } from "../../api/swap.ts";
import { isPending, isPrepared, isUnderWay } from "../task/swap.ts";
import { isTaskDirty, isWanted } from "../task/task.ts";

/**
 * The task by which a place is judged: the first one that the rollout put there. Where nobody saw what became of that one,
 * as while the rollout was held, it is a restart of it.
 */
export interface FirstTask {
  id: string;
  state: "starting" | "running" | "failed" | "gone";
  /** Unix milliseconds since it is in that state. */
  sinceMs: number;
  /** Of a failed one: for how long it had run; below 0 if it never did. */
  ranMs: number;
  /** Of a running one: since when it is watched. */
  watchedMs: number;
  /** When its device was last heard of, in the run's time; undefined where that is not asked. */
  heardMs?: number;
  /** Its device is out of sight, or was since the last look. */
  unseen?: true;
}

/** One place of the service: a slot, or a device of a global service. */
export interface SlotFacts {
  /** See `slotKey`. */
  key: string;
  /** Node ID or slot number. */
  place: string;
  /** Why it is not waited for. */
  deferred: "offline" | "paused" | "leaving" | "held" | undefined;
  /** What its device says, where that is why: `held`. */
  report: SwapReport | undefined;
  /** A task of the spec is there that can still be taken back. */
  pending: boolean;
  /** That task waits for the word to begin. */
  prepared: boolean;
  /** Its device has yet to say whether the new task has proved itself. */
  swapping: boolean;
  /** It has no task of the spec that is rolled out. */
  dirty: boolean;
  /** Since when its task of that spec runs. */
  runningMs: number | undefined;
  /** It has more wanted tasks than that one. */
  crowded: boolean;
  /** It has more than one wanted task of that spec: restarts of what an unfinished update had left side by side. */
  copies: boolean;
  /** The stage in which the rollout reached it; undefined if it has not. */
  stage: number | undefined;
  returned: boolean;
  first: FirstTask | undefined;
  /** The last task of the rollout there, which may be a restart. */
  last: FirstTask | undefined;
  /** Stages whose constraint it meets. */
  matches: readonly number[];
  /** Its node is not in reach, whatever else is with it. */
  unreachable: boolean;
  /** Since when the longest-running task of another spec runs. */
  oldRunningMs: number | undefined;
  /** Those whose failure budget it counts for. */
  groups: readonly Group[];
}

/**
 * The facts of the place whose live tasks are `live` and whose history is `tasks`, for rollout `number`; undefined if it is
 * no part of a rollout. `judged` is the ID of the task by which it was judged so far. `nowMs` bounds what a clock that was
 * ahead once wrote.
 */
export function slotFacts(
  view: ReadView,
  service: Service,
  number: number,
  { live, tasks, judged }: { live: readonly Task[]; tasks: readonly Task[]; judged: string | undefined },
  nowMs: number,
): SlotFacts | undefined {
  const [task] = live;
  if (task === undefined) return undefined;
  const isBound = task.Slot === undefined;
  const node = isBound ? view.get("nodes", task.NodeID) : undefined;
  if (isBound) {
    if (node === undefined) return undefined;
    // It is a part of the rollout until what it has is told to end.
    if (isLeaving(service, node) && !live.some(isWanted)) return undefined;
  }
  const clean = live.filter((each) => !isTaskDirty(view, service, each));
  const oldRunning = live.filter((each) =>
    !clean.includes(each) && each.Status.State === "running" && isWanted(each)
  );
  const best = clean.find((each) => each.Status.State === "running" && isWanted(each)) ?? clean.at(-1);
  const deferred = node && reasonToDefer(service, node);
  const matches = node === undefined ? [] : stagesMet(service, node);
  const place = {
    key: slotKey(task),
    place: isBound ? task.NodeID : String(task.Slot),
    matches,
    unreachable: node !== undefined && node.Status.State !== "ready",
    oldRunningMs: oldRunning.length === 0
      ? undefined
      : Math.min(...oldRunning.map((each) => ranSince(each, nowMs))),
    groups: node === undefined ? [] : groupsOf(service.Spec, node),
  };
  const pending = best !== undefined && isPending(best), report = best?.Status.Swap;
  if (pending && (isHeld(report) || isPrepared(best))) {
    return { ...place, ...UNTOUCHED, deferred: deferred ?? (isHeld(report) ? "held" : undefined), report };
  }
  const made = tasks.filter((each) => each.Rollout?.Number === number);
  const at = made.findIndex((each) => each.ID === judged);
  const judgedBy = made.slice(at + 1).findLast((each) => !each.Rollout!.Restarted) ?? made[at];
  const first = judgedBy && firstTask(view, judgedBy, nowMs);
  // Where no device has gone back by itself and yet there is a version of before, it was given anew, as to a newcomer: to a device
  // that was drained meanwhile. What failed there was on its way out.
  if (first?.state === "failed" && best === undefined && judgedBy?.Status.Swap === undefined) {
    first.state = "gone";
  }
  const mark = (judgedBy ?? made[0])?.Rollout, last = made.at(-1);
  return {
    ...place,
    deferred,
    report: undefined,
    // One of an earlier version, too, that a newer one has overtaken.
    pending: live.some(isPending),
    prepared: false,
    swapping: best !== undefined && isUnderWay(best, live),
    dirty: best === undefined,
    runningMs: best?.Status.State === "running" ? ranSince(best, nowMs) : undefined,
    crowded: best !== undefined && live.length > 1,
    copies: clean.length > 1,
    stage: mark?.Stage,
    returned: mark?.Returned ?? false,
    first,
    last: last && firstTask(view, last, nowMs),
  };
}

/** A place whose new task is there, and of which the rollout has reached nothing yet: its device does not begin. */
const UNTOUCHED = {
  pending: true,
  prepared: true,
  swapping: false,
  dirty: true,
  runningMs: undefined,
  crowded: false,
  stage: undefined,
  returned: false,
  first: undefined,
  last: undefined,
  copies: false,
};

function stagesMet(service: Service, node: Node): number[] {
  return stagesOf(service.Spec).flatMap(({ Constraint }, index) =>
    Constraint !== undefined && nodeMatches(placementOf(Constraint), node) ? [index] : []
  );
}

function isLeaving(service: Service, node: Node): boolean {
  return node.Spec.Availability === "drain" || !nodeMatches(service.Spec.TaskTemplate.Placement, node);
}

function reasonToDefer(service: Service, node: Node): SlotFacts["deferred"] {
  if (isLeaving(service, node)) return "leaving";
  if (node.Status.State !== "ready") return "offline";
  return node.Spec.Availability === "pause" ? "paused" : undefined;
}

const placements = new Map<string, { Constraints: string[] }>();
/** Constraints whose compiled form is kept; more than any number of services name. */
const MAX_PLACEMENTS = 1000;

/** One object for each constraint, by which its compiled form is known again. */
function placementOf(constraint: string): { Constraints: string[] } {
  const known = placements.get(constraint);
  if (known !== undefined) return known;
  if (placements.size >= MAX_PLACEMENTS) placements.clear();
  const made = { Constraints: [constraint] };
  placements.set(constraint, made);
  return made;
}

function ranSince(task: Task, nowMs: number): number {
  return Math.min(nowMs, Date.parse(task.RunningAt ?? task.UpdatedAt));
}

function firstTask(view: ReadView, task: Task, nowMs: number): FirstTask {
  const { State } = task.Status;
  const changedMs = Math.min(nowMs, Date.parse(task.UpdatedAt));
  const at = (state: FirstTask["state"], sinceMs = changedMs, ranMs = -1) => ({
    id: task.ID,
    state,
    sinceMs,
    ranMs,
    watchedMs: sinceMs,
  });
  // A task stopped on request or lost with its device says nothing about the new spec.
  if (State === "shutdown" || State === "orphaned") return at("gone");
  if (isTerminal(State)) {
    // What its device found wanting failed, however late the manager heard of it.
    const neverGood = task.RunningAt === undefined || task.Status.Swap?.Kind === "rolled_back";
    const ranMs = neverGood ? -1 : Math.max(0, changedMs - ranSince(task, nowMs));
    return at("failed", changedMs, ranMs);
  }
  if (!isWanted(task)) return at("gone");
  if (State === "running") return at("running", ranSince(task, nowMs));
  return task.NodeID !== "" && view.get("nodes", task.NodeID)?.Status.State !== "ready" &&
      compareStates(State, "running") < 0
    ? at("gone")
    : at("starting");
}
