/** What a rollout has come to so far, by its places. Pure. */
import type { Rollout, RolloutFailure } from "../../api/rollout.ts";
import type { Policy } from "./policy.ts";
import type { Times } from "./run_time.ts";
import type { SlotFacts } from "./slot_facts.ts";

/** Failures that are listed by place. All count; more say nothing more, and the service has to fit into an entry. */
const MAX_LISTED_FAILURES = 1000;

/** What is counted. */
interface Counted {
  rollout: Rollout;
  slots: readonly SlotFacts[];
  times: Times;
}

/** The counts of a rollout as its places show them: `rollout` brought up to date. */
export function tally(state: Counted, policy: Policy): Rollout {
  const { rollout, slots } = state;
  const failures = withNewFailures(state, policy);
  const ended = rollout.State === "completed";
  let total = 0, done = 0, deferred = 0, returned = 0, unlisted = 0;
  const listed = new Set(failures.map(({ Place }) => Place)), retried = new Set(rollout.Retry);
  for (const slot of slots) {
    if (slot.deferred !== undefined) {
      if (isHeldUp(slot)) deferred++;
      if (slot.stage === undefined) continue;
    }
    if (slot.stage === undefined && (!slot.dirty || ended)) continue;
    if (slot.returned) returned++;
    else total++;
    if (!slot.dirty && slot.runningMs !== undefined && !listed.has(slot.place)) done++;
    if (!listed.has(slot.place) && !retried.has(slot.place) && hasFailed(slot, policy, state)) unlisted++;
  }
  return {
    ...rollout,
    Total: total,
    Done: done,
    Failed: Math.max(failures.length + unlisted, failures === rollout.Failures ? rollout.Failed : 0),
    Failures: failures,
    Deferred: deferred,
    Returned: { Total: returned, Failed: failures.filter((failure) => failure.Returned).length },
  };
}

/** It waits for its device, and will follow. */
export function isHeldUp({ deferred, dirty, runningMs }: SlotFacts): boolean {
  return deferred !== undefined && deferred !== "leaving" && (dirty || runningMs === undefined);
}

/** A failure counts within the monitor period, and for a device of a stage that is watched for longer within that. */
function hasFailed(
  { first, stage, returned }: SlotFacts,
  policy: Policy,
  { rollout, times }: Omit<Counted, "slots">,
): boolean {
  if (first?.state !== "failed") return false;
  if (first.ranMs <= policy.monitorMs) return true;
  return !returned && rollout.State === "baking" && stage === rollout.Stage &&
    first.sinceMs >= times.bakeStartedMs;
}

function withNewFailures(
  state: Counted,
  policy: Policy,
): RolloutFailure[] {
  const { rollout, slots } = state;
  const known = new Set(rollout.Failures.map(({ Place }) => Place));
  const retried = new Set(rollout.Retry);
  const added: RolloutFailure[] = [];
  for (const slot of slots) {
    if (!hasFailed(slot, policy, state) || known.has(slot.place) || retried.has(slot.place)) continue;
    if (known.size + added.length >= MAX_LISTED_FAILURES) break;
    added.push({ Place: slot.place, Stage: slot.stage!, ...(slot.returned && { Returned: true }) });
  }
  return added.length === 0 ? rollout.Failures : [...rollout.Failures, ...added];
}
