/** What people do with a rollout, and what they are shown of it. */
import { type Clock, timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Rollout, RolloutStage, RolloutState } from "../../api/rollout.ts";
import { stagesOf } from "../../api/rollout_labels.ts";
import type { Service, UpdateStatus } from "../../api/service.ts";
import { liveTasks } from "../restart/restart_policy.ts";
import type { ReadView, Store } from "../store/store.ts";
import { nextStage } from "../updater/plan.ts";
import { isHeldUp, tally } from "../updater/tally.ts";
import { policyOf } from "../updater/policy.ts";
import { timesByDate } from "../updater/run_time.ts";
import type { SlotFacts } from "../updater/slot_facts.ts";
import { readSlots } from "../updater/slot_table.ts";

/** Everything that can be done with a rollout. */
export const ROLLOUT_ACTIONS = ["promote", "pause", "resume", "abort", "retry"] as const;
export type RolloutAction = typeof ROLLOUT_ACTIONS[number];

/** Devices that a status lists: what people read; the counts are whole. */
const MAX_LISTED_DEFERRED = 1000;

/** In which states something can be done. */
const ALLOWED: Record<RolloutAction, readonly RolloutState[]> = {
  promote: ["awaiting_promotion"],
  pause: ["rolling", "baking", "awaiting_promotion", "completed"],
  resume: ["paused", "timed_out"],
  abort: ["rolling", "baking", "awaiting_promotion", "paused", "timed_out"],
  retry: ["rolling", "baking", "awaiting_promotion", "paused", "timed_out", "completed"],
};

/** Does `action` to the rollout of a service. Throws `not_found`, or `failed_precondition` where it makes no sense now. */
export async function controlRollout(
  store: Store,
  clock: Clock,
  serviceID: string,
  action: RolloutAction,
): Promise<void> {
  await store.update((tx) => {
    const service = tx.get("services", serviceID);
    if (service === undefined) throw new CoveyError("not_found", `service ${serviceID} not found`);
    const { status, rollout } = required(service, `${action} the rollout of`);
    if (!ALLOWED[action].includes(rollout.State)) refuse(service, action, whyNot(rollout));
    if (action === "abort" && rollout.Ended) refuse(service, action, "it is completed");
    const places = action === "retry" ? placesToRetry(tx, service, rollout, clock.now()) : [];
    if (action === "retry" && places.length === 0) refuse(service, action, "nothing has failed");
    tx.update("services", { ...service, UpdateStatus: changed(status, rollout, action, clock, places) });
  });
}

function refuse(service: Service, action: RolloutAction, why: string): never {
  throw new CoveyError("failed_precondition", `Cannot ${action} the rollout of ${service.Spec.Name}: ${why}`);
}

function whyNot({ State, Stage }: Rollout): string {
  if (State === "aborted") return "it was aborted, which is final; update the service to begin another";
  if (State === "completed") return "it is completed";
  if (State === "awaiting_promotion") return `stage ${Stage + 1} waits for promotion`;
  return `stage ${Stage + 1} is ${State.replace("_", " ")}`;
}

/** Places that failed, and those whose devices remember that the version failed there before. */
function placesToRetry(view: ReadView, service: Service, rollout: Rollout, nowMs: number): string[] {
  const remembered = slotsOf(view, service, rollout, nowMs).filter(({ report }) =>
    report?.Kind === "remembered_bad"
  );
  return [
    ...new Set([...rollout.Failures.map(({ Place }) => Place), ...remembered.map(({ place }) => place)]),
  ];
}

function required(service: Service, what: string): { status: UpdateStatus; rollout: Rollout } {
  const status = service.UpdateStatus;
  if (status?.Rollout !== undefined) return { status, rollout: status.Rollout };
  const why = "there is none: the service was not updated";
  throw new CoveyError("failed_precondition", `Cannot ${what} ${service.Spec.Name}: ${why}`);
}

function changed(
  status: UpdateStatus,
  rollout: Rollout,
  action: RolloutAction,
  clock: Clock,
  places: string[],
): UpdateStatus {
  const rollback = status.State.startsWith("rollback"), word = rollback ? "rollback" : "update";
  const { CompletedAt: _, ...rest } = status;
  const stopped = (State: "paused" | "aborted", Message: string): UpdateStatus => ({
    ...rest,
    State: rollback ? "rollback_paused" : "paused",
    Message,
    Rollout: { ...rollout, State },
  });
  if (action === "pause") return stopped("paused", `${word} paused by hand`);
  if (action === "abort") return stopped("aborted", `${word} aborted by hand`);
  const next = action === "retry" ? retrying(rollout, places, clock) : goingOn(rollout, action, clock);
  if (next.State === "completed") {
    const State = rollback ? "rollback_completed" : "completed";
    return { ...rest, State, CompletedAt: timestamp(clock), Message: `${word} completed`, Rollout: next };
  }
  const Message = next.State === "awaiting_promotion" ? status.Message : `${word} in progress`;
  return { ...rest, State: rollback ? "rollback_started" : "updating", Message, Rollout: next };
}

/** A stage that is watched, or was, is not watched anew for the sake of some of its devices. */
function retrying(rollout: Rollout, places: string[], clock: Clock): Rollout {
  const { State, BakeStartedAt = "", StageStartedAt } = rollout;
  const next = { ...rollout, Failed: 0, Failures: [], Retry: places };
  if (rollout.Ended) return { ...next, State: "completed" };
  if (State === "awaiting_promotion") return next;
  if (Date.parse(BakeStartedAt) >= Date.parse(StageStartedAt)) return { ...next, State: "baking" };
  return { ...next, State: "rolling", StageStartedAt: timestamp(clock) };
}

function goingOn(rollout: Rollout, action: "promote" | "resume", clock: Clock): Rollout {
  if (action === "promote") return { ...rollout, ...nextStage(rollout, timestamp(clock)) };
  const { BakeStartedAt: _, Retry: _again, ...rest } = rollout;
  const next: Rollout = {
    ...rest,
    State: rollout.Ended ? "completed" : "rolling",
    StageStartedAt: timestamp(clock),
  };
  return { ...next, Failures: rollout.Failures.map((each) => ({ ...each, Forgiven: true })) };
}

/** A rollout as it is shown, with what holds up its devices. */
export interface RolloutView extends Rollout {
  Service: { ID: string; Name: string };
  UpdateState: UpdateStatus["State"];
  Message: string;
  Stages: readonly RolloutStage[];
  DeferredPlaces: { Place: string; Reason: string }[];
}

/** How far the rollout of `service` is. Throws `failed_precondition` where it has none. */
export function rolloutView(view: ReadView, service: Service, nowMs: number): RolloutView {
  const { status, rollout } = required(service, "show the rollout of");
  const slots = slotsOf(view, service, rollout, nowMs);
  const deferred = slots.filter(isHeldUp);
  return {
    ...tally({ rollout, slots, times: timesByDate(rollout, nowMs) }, policyOf(service)),
    Service: { ID: service.ID, Name: service.Spec.Name },
    UpdateState: status.State,
    Message: status.Message,
    Stages: stagesOf(service.Spec),
    DeferredPlaces: deferred.slice(0, MAX_LISTED_DEFERRED).map((slot) => ({
      Place: slot.place,
      Reason: reasonOf(slot),
    })),
  };
}

function reasonOf({ deferred, report }: SlotFacts): string {
  if (report !== undefined) return `${report.Kind.replace("_", " ")}: ${report.Reason}`;
  return deferred === "paused" ? "its node is paused" : "its node is not reachable";
}

function slotsOf(view: ReadView, service: Service, rollout: Rollout, nowMs: number): SlotFacts[] {
  const live = {
    liveTasks: (...[store, of, tasks]: Parameters<LiveTasks>) => liveTasks(store, of, tasks, nowMs),
  };
  return readSlots(view, live, service, rollout, nowMs);
}

type LiveTasks = (
  view: ReadView,
  service: Service,
  tasks: Parameters<typeof liveTasks>[2],
) => ReturnType<typeof liveTasks>;
