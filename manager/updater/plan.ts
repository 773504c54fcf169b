/**
 * What a rollout does next. Pure: no clock, no store, no memory. A new leader with the same store decides the same, save
 * that it has watched nothing yet.
 *
 *     rolling ──► baking ──► awaiting_promotion ──► rolling (next stage) … ──► completed
 *        └───────────┴──────────────┴──► paused, timed_out, or a rollback
 *
 * A place is queued, then in flight until its new task runs or need not be waited for, and takes up its place for the delay
 * after that. A device that comes back after the end is a returnee: it counts by itself, and a cap holds the others.
 */
import type { Rollout } from "../../api/rollout.ts";
import { type Group, GroupCount } from "../placement/budget.ts";
import type { Policy, StagePolicy } from "./policy.ts";
import type { Times } from "./run_time.ts";
import type { SlotFacts } from "./slot_facts.ts";
import { tally } from "./tally.ts";
import { hasHeld } from "./watch.ts";

/**
 * Monitor periods, from the moment on at which somebody resumed the rollout, within which a place that had failed may yet do
 * well: some restarts. Then its stage goes on without it, with another device in its place.
 */
export const FORGIVEN_PERIODS = 3;

/** Between two looks whether a device was heard of since the end of the monitor period; it says that it lives by heartbeats. */
const HEARD_LOOK_MS = 1000;

/** A service's rollout as the store has it, and the time. */
export interface PlanState {
  times: Times;
  /** The date, for what is written down (RFC 3339). */
  date: string;
  rollout: Rollout;
  /** All places, in the order in which they are reached. */
  slots: readonly SlotFacts[];
  /** The groups of each device that has no place, and is missing in them. */
  absent: readonly (readonly Group[])[];
  /** There is a spec to go back to. */
  hasPrevious: boolean;
}

/** Why a rollout stopped by itself. */
export type Stop = { state: "paused" | "timed_out"; because: string; failed?: string };

/** One thing to do. */
export type Action =
  /** Puts a task of the spec into the place, or lets the one that waits there begin. */
  | { do: "replace"; key: string; stage: number; returned: boolean }
  /** Ends a task of the spec that its device has not begun to swap in. */
  | { do: "take_back"; key: string }
  /** Ends what stands beside a task that has proved itself. */
  | { do: "end_others"; key: string }
  /** Of several tasks of the spec that is rolled out, leaves one. */
  | { do: "end_copies"; key: string }
  /** Writes the progress, and where it has stopped why. */
  | { do: "record"; rollout: Rollout; stop?: Stop }
  | { do: "roll_back"; rollout: Rollout; failed: string };

/** What to do, when to look again unless something changes before, and whether anything is still to come. */
export interface Plan {
  actions: Action[];
  wakeMs: number | undefined;
  over: boolean;
}

const STOPPED = new Set<Rollout["State"]>(["paused", "timed_out", "aborted"]);

/** The next actions of a rollout whose places and progress are `state`. */
export function plan(state: PlanState, policy: Policy): Plan {
  if (STOPPED.has(state.rollout.State)) {
    const pending = state.slots.filter((slot) => slot.pending);
    return { actions: pending.map(({ key }) => ({ do: "take_back", key })), wakeMs: undefined, over: true };
  }
  const planner = new Planner(state, policy);
  return planner.decide();
}

/** It got the new spec from the rollout, not from coming back after the end; its device may have gone back to the old one. */
function isReached({ stage, returned, dirty, first }: SlotFacts): boolean {
  return stage !== undefined && !returned && (!dirty || first?.state === "failed");
}

class Planner {
  readonly #actions: Action[] = [];
  readonly #rollout: Rollout;
  readonly #failed: Set<string>;
  readonly #forgiven: Set<string>;
  readonly #retry: Set<string>;
  #wakeMs: number | undefined;
  #inFlight = 0;
  /** New tasks whose monitor period is not over, by stage; returnees under -1. */
  readonly #unproven = new Map<number, number>();

  constructor(readonly state: PlanState, readonly policy: Policy) {
    const counted = tally(state, policy);
    this.#failed = new Set(counted.Failures.map(({ Place }) => Place));
    this.#forgiven = new Set(counted.Failures.flatMap(({ Place, Forgiven }) => Forgiven ? [Place] : []));
    this.#retry = new Set(stillToRetry(state));
    this.#rollout = withRetry(counted, [...this.#retry]);
  }

  decide(): Plan {
    for (const slot of this.state.slots) this.#watch(slot);
    if (this.#actOnFailures()) return this.#end(true);
    const ended = this.#rollout.State === "completed";
    let over = false;
    if (ended) this.#launchReturnees();
    else over = this.#goOn();
    // Where a device is to be tried again that is away, the run waits for it: another one would begin, and end, at once.
    const idle = this.#inFlight === 0 && this.#unproven.size === 0 && this.#retry.size === 0 &&
      !this.#isWaiting();
    return this.#end(over || (this.#rollout.State === "completed" && idle));
  }

  #end(over: boolean): Plan {
    const recorded = this.#actions.some((action) => action.do === "record" || action.do === "roll_back");
    if (!recorded && !sameProgress(this.#rollout, this.state.rollout)) this.#record({});
    return { actions: this.#actions, wakeMs: this.#wakeMs, over };
  }

  #isWaiting(): boolean {
    return this.state.slots.some((slot) =>
      slot.deferred === "held" || (slot.deferred === undefined && (slot.dirty || slot.crowded))
    );
  }

  #record(change: Partial<Rollout>, stop?: Stop): void {
    this.#actions.push({ do: "record", rollout: { ...this.#rollout, ...change }, ...(stop && { stop }) });
  }

  #wakeAt(atMs: number): void {
    if (atMs > this.state.times.nowMs) this.#wakeMs = Math.min(this.#wakeMs ?? Infinity, atMs);
  }

  /** Notes what a place is busy with; ends what its new task has outlived. */
  #watch(slot: SlotFacts): void {
    const { nowMs } = this.state.times;
    const { delayMs, monitorMs, startFirst, rollback } = this.policy;
    const { first } = slot;
    if (first !== undefined && slot.deferred === undefined && !this.#isGivenUp(slot)) {
      const freeMs = first.sinceMs + delayMs;
      if (first.state === "starting" || slot.swapping) this.#flies(slot);
      else if (first.state !== "gone" && freeMs > nowMs) {
        this.#inFlight++;
        this.#wakeAt(freeMs);
      }
      if (first.state === "running" && !slot.swapping && !hasHeld(first, nowMs, monitorMs)) {
        const endMs = first.watchedMs + monitorMs;
        this.#isUnproven(slot, endMs > nowMs ? endMs : nowMs + HEARD_LOOK_MS);
      }
    }
    // A device that swaps by itself says when the old task is not needed any more.
    if (!slot.crowded || slot.swapping) return;
    if (slot.copies) this.#actions.push({ do: "end_copies", key: slot.key });
    if (slot.copies || slot.runningMs === undefined) return;
    const keptMs = startFirst && !rollback ? slot.runningMs + monitorMs : 0;
    if (keptMs <= nowMs) this.#actions.push({ do: "end_others", key: slot.key });
    else this.#wakeAt(keptMs);
  }

  #flies(slot: SlotFacts): void {
    this.#inFlight++;
    this.#isUnproven(slot);
  }

  #isUnproven(slot: SlotFacts, untilMs?: number): void {
    const stage = slot.returned ? -1 : slot.stage!;
    this.#unproven.set(stage, (this.#unproven.get(stage) ?? 0) + 1);
    if (untilMs !== undefined) this.#wakeAt(untilMs);
  }

  #isWatching(): boolean {
    return [...this.#unproven.keys()].some((stage) => stage >= 0);
  }

  #failuresOf(stage: number | "returned"): number {
    return this.#rollout.Failures.filter((failure) =>
      !failure.Forgiven &&
      (stage === "returned" ? failure.Returned : !failure.Returned && failure.Stage === stage)
    ).length;
  }

  /** True if the failures end the rollout, or hold it. */
  #actOnFailures(): boolean {
    const { action, ratio, maxReturneeFailures, stages } = this.policy;
    if (action === "continue") return false;
    const cap = maxReturneeFailures ?? Math.floor(ratio * this.#rollout.Total);
    const returnees = this.#failuresOf("returned");
    if (returnees > cap) {
      const last = this.#rollout.Failures.findLast((failure) => failure.Returned)!.Place;
      this.#stop({
        state: "paused",
        because: `due to failures on ${returnees} returning devices`,
        failed: last,
      });
      return true;
    }
    if (this.#rollout.State === "completed") return false;
    const stage = stages[this.#rollout.Stage]!;
    const failed = this.#failuresOf(this.#rollout.Stage);
    if (failed === 0 || failed / this.#targeted(stage) <= stage.failure) return false;
    this.#fail();
    return true;
  }

  #fail(because = "due to failure or early termination of a task"): void {
    const failed = this.#rollout.Failures.findLast(({ Returned }) => !Returned)?.Place ?? "";
    if (this.policy.action === "rollback" && !this.policy.rollback && this.state.hasPrevious) {
      this.#actions.push({ do: "roll_back", rollout: this.#rollout, failed });
    } else this.#stop({ state: "paused", because, failed });
  }

  #stop(stop: Stop): void {
    this.#record({ State: stop.state }, stop);
  }

  /** Places of the present stage: those that it has reached, and those that it has yet to reach. */
  #targeted(stage: StagePolicy): number {
    return this.#reached().length +
      this.#candidates(stage).filter((slot) => !this.#retry.has(slot.place)).length;
  }

  /** Places of the present stage that have the new spec, whatever came of it. */
  #reached(): SlotFacts[] {
    return this.state.slots.filter((slot) => isReached(slot) && slot.stage === this.#rollout.Stage);
  }

  /** Places that the present stage has yet to reach, in order; those to be tried again first. */
  #candidates(stage: StagePolicy): SlotFacts[] {
    const { slots } = this.state;
    const open = slots.filter((slot) => this.#isDue(slot));
    if (stage.share === 1) return open;
    const again = open.filter((slot) => this.#retry.has(slot.place));
    const fresh = open.filter((slot) => !this.#retry.has(slot.place));
    if (stage.share === undefined) {
      return [...again, ...fresh.filter((slot) => slot.matches.includes(this.#rollout.Stage))];
    }
    // A device that vanished with the new spec keeps its place in the stage: the spec may be why.
    const reached = slots.filter((slot) => isReached(slot) && !this.#isGivenUp(slot)).length;
    const waiting =
      slots.filter((slot) => slot.dirty && slot.deferred === undefined && !isReached(slot)).length;
    const room = Math.max(0, Math.ceil(stage.share * (reached + waiting)) - reached);
    return [...again, ...this.#freeFirst(fresh).slice(0, room)];
  }

  /** Not there yet, and nothing is on its way: also where the first task vanished without a word. */
  #isDue(slot: SlotFacts): boolean {
    const again = this.#retry.has(slot.place);
    if (slot.deferred !== undefined && !(again && slot.report?.Kind === "remembered_bad")) return false;
    if (again) return true;
    return slot.dirty && (slot.first === undefined || slot.first.state === "gone");
  }

  #launch(slots: readonly SlotFacts[], returned: boolean): number {
    const free = Math.max(0, this.policy.parallelism - this.#inFlight);
    // What is ready on its device goes first: it may have been on its way for long.
    const readyFirst = slots.toSorted((a, b) => Number(b.prepared) - Number(a.prepared));
    const due = this.#withinBudgets(readyFirst, free);
    for (const { key, place } of due) {
      this.#actions.push({ do: "replace", key, stage: this.#rollout.Stage, returned });
      this.#retry.delete(place);
    }
    this.#inFlight += due.length;
    return due.length;
  }

  /**
   * The first so many of `slots` that may go down by the budgets of their groups: where nothing runs it may be replaced, and
   * start-first takes nothing down. What has not run for long counts as down, and is not taken down for that.
   */
  #withinBudgets(slots: readonly SlotFacts[], most: number): SlotFacts[] {
    if (this.policy.startFirst || !slots.some(({ groups }) => groups.length > 0)) return slots.slice(0, most);
    const count = new GroupCount(), { nowMs } = this.state.times;
    for (const groups of this.state.absent) count.add(groups, false);
    const up = new Set<SlotFacts>();
    for (const slot of this.state.slots) {
      const upMs = this.#servedWellFromMs(slot);
      if (upMs <= nowMs) up.add(slot);
      // Then there may be room.
      else if (upMs < Infinity) this.#wakeAt(upMs);
      count.add(slot.groups, up.has(slot));
    }
    const chosen: SlotFacts[] = [];
    for (const slot of slots) {
      if (chosen.length >= most) break;
      const isUp = up.has(slot);
      if (this.#servedWellFromMs(slot) < Infinity && count.fullGroup(slot.groups, !isUp)) continue;
      if (isUp) count.takeDown(slot.groups);
      chosen.push(slot);
    }
    return chosen;
  }

  /** Where failure budgets hold some up, the others do not wait behind them. */
  #freeFirst(slots: readonly SlotFacts[]): readonly SlotFacts[] {
    if (!slots.some(({ groups }) => groups.length > 0)) return slots;
    const free = new Set(this.#withinBudgets(slots, Infinity));
    return [...free, ...slots.filter((slot) => !free.has(slot))];
  }

  /** When what runs in a place will have run for the monitor period; never, as far as is known, where nothing does. */
  #servedWellFromMs({ unreachable, swapping, runningMs, oldRunningMs }: SlotFacts): number {
    if (unreachable || swapping) return Infinity;
    return Math.min(runningMs ?? Infinity, oldRunningMs ?? Infinity) + this.policy.monitorMs;
  }

  #launchReturnees(): void {
    this.#launch(this.state.slots.filter((slot) => this.#isDue(slot)), true);
    this.#noteRetries();
  }

  #noteRetries(): void {
    const left = [...this.#retry];
    if (left.length === (this.#rollout.Retry?.length ?? 0)) return;
    this.#actions.push({ do: "record", rollout: withRetry(this.#rollout, left) });
  }

  /** The present stage; true if the rollout is over. */
  #goOn(): boolean {
    const { nowMs, stageStartedMs } = this.state.times;
    const index = this.#rollout.Stage, stage = this.policy.stages[index]!;
    const timeoutMs = stageStartedMs + stage.timeoutMs;
    if (this.#rollout.State === "awaiting_promotion" || this.#rollout.State === "baking") {
      return this.#waitInStage(stage);
    }
    const due = this.#candidates(stage);
    if (this.#launch(due, false) > 0) {
      this.#noteRetries();
      return false;
    }
    const verdict = due.length > 0 || this.#isWatching() ? "wait" : this.#verdict(stage);
    if (verdict === "pass") return this.#pass(stage);
    if (verdict === "fail") {
      this.#fail("because too few devices of the stage did well");
      return true;
    }
    if (stage.timeoutMs === 0) return false;
    if (timeoutMs <= nowMs) {
      this.#stop({ state: "timed_out", because: `because stage ${index + 1} took longer than its timeout` });
      return true;
    }
    this.#wakeAt(timeoutMs);
    return false;
  }

  /**
   * What a stage comes to of which nothing is on its way. Without a device that holds it says nothing: then the rollout
   * waits for one, also where no device is there at all: the first to come is the canary.
   */
  #verdict({ success }: StagePolicy): "pass" | "fail" | "wait" {
    const { slots } = this.state;
    const reached = this.#reached().filter((slot) => !this.#isGivenUp(slot));
    const good = reached.filter((slot) => this.#isGood(slot));
    if (reached.length > 0 && good.length / reached.length < success) {
      const isJudged = (slot: SlotFacts) =>
        this.#isGood(slot) || (this.#failed.has(slot.place) && !this.#forgiven.has(slot.place));
      return reached.every(isJudged) ? "fail" : "wait";
    }
    if (this.#rollout.Stage === this.policy.stages.length - 1) return this.#isCrowded() ? "wait" : "pass";
    const isProof = (slot: SlotFacts) => isReached(slot) && this.#isGood(slot);
    return slots.some(isProof) ? "pass" : "wait";
  }

  /** One that has failed is good again if somebody forgave it, and what runs there since has proved itself. */
  #isGood({ place, deferred, runningMs, first }: SlotFacts): boolean {
    if (deferred !== undefined || runningMs === undefined) return false;
    if (!this.#failed.has(place)) return true;
    return this.#forgiven.has(place) && first?.state === "running" &&
      hasHeld(first, this.state.times.nowMs, this.policy.monitorMs);
  }

  /** Somebody forgave it, and it has not done well since, for as long as it could. */
  #isGivenUp(slot: SlotFacts): boolean {
    const { nowMs, stageStartedMs } = this.state.times;
    if (!this.#forgiven.has(slot.place) || this.#isGood(slot)) return false;
    // What an earlier stage went on without no later one waits for.
    if (slot.stage !== this.#rollout.Stage) return true;
    const untilMs = stageStartedMs + FORGIVEN_PERIODS * this.policy.monitorMs;
    this.#wakeAt(untilMs);
    return untilMs <= nowMs;
  }

  /** A new task runs, and has yet to prove itself before what stands beside it is ended. */
  #isCrowded(): boolean {
    return this.state.slots.some((slot) =>
      slot.crowded && slot.runningMs !== undefined && slot.deferred === undefined &&
      !this.#failed.has(slot.place)
    );
  }

  /** All of the stage is updated, and proven or failed. */
  #pass(stage: StagePolicy): boolean {
    if (stage.bakeMs > 0 && this.#reached().length > 0) {
      this.#record({ State: "baking", BakeStartedAt: this.state.date });
      this.#wakeAt(this.state.times.nowMs + stage.bakeMs);
      return false;
    }
    return this.#leaveStage(stage);
  }

  /** All that is done in a stage of which every device was reached is what somebody asked for: to try some once more. */
  #waitInStage(stage: StagePolicy): boolean {
    const again = this.state.slots.filter((slot) => this.#retry.has(slot.place) && this.#isDue(slot));
    if (this.#launch(again, false) > 0) {
      this.#noteRetries();
      return false;
    }
    return this.#rollout.State === "baking" && again.length === 0 && this.#bake(stage);
  }

  #bake(stage: StagePolicy): boolean {
    // Devices that are tried once more are watched for as long as any.
    if (this.#isWatching()) return false;
    const { nowMs, sinceMs, bakeStartedMs } = this.state.times;
    // Who has just begun to look on has only dates to go by, and does not let a stage go without having seen it.
    const leastMs = Math.min(stage.bakeMs, this.policy.monitorMs);
    const untilMs = Math.max(bakeStartedMs + stage.bakeMs, sinceMs + leastMs);
    if (untilMs <= nowMs) return this.#leaveStage(stage);
    this.#wakeAt(untilMs);
    return false;
  }

  #leaveStage(stage: StagePolicy): boolean {
    const isLast = this.#rollout.Stage === this.policy.stages.length - 1;
    if (isLast) this.#record({ State: "completed", Ended: true });
    else if (stage.manual) this.#record({ State: "awaiting_promotion" });
    else this.#record(nextStage(this.#rollout, this.state.date));
    return isLast;
  }
}

/** Places to be tried again in which nothing runs and nothing is on its way. */
function stillToRetry({ rollout, slots }: PlanState): string[] {
  if (rollout.Retry === undefined) return [];
  const asked = new Set(rollout.Retry);
  return slots.filter(({ place, runningMs, first }) =>
    asked.has(place) && runningMs === undefined && first?.state !== "starting" && first?.state !== "running"
  ).map(({ place }) => place);
}

function withRetry({ Retry: _, ...rollout }: Rollout, places: string[]): Rollout {
  return places.length === 0 ? rollout : { ...rollout, Retry: places };
}

/** What changes when a rollout goes on to its next stage. */
export function nextStage({ Stage }: Rollout, date: string): Partial<Rollout> {
  return { State: "rolling", Stage: Stage + 1, StageStartedAt: date };
}

/** True if there is nothing to write. */
function sameProgress(a: Rollout, b: Rollout): boolean {
  return a.Failures === b.Failures && a.Total === b.Total && a.Done === b.Done && a.Failed === b.Failed &&
    a.Deferred === b.Deferred && a.Returned.Total === b.Returned.Total && a.State === b.State &&
    a.Retry?.length === b.Retry?.length;
}
