/** How long the first task of a place has been watched: by who looked on, without a gap, not by dates that several clocks wrote. */
import type { FirstTask, SlotFacts } from "./slot_facts.ts";

/** How a look at a place is made. */
export interface Look {
  /** In the run's time. */
  nowMs: number;
  monitorMs: number;
  /** This run looks on from now; what it finds was begun before. */
  isFirst: boolean;
  /** The stage that is going on; undefined once the rollout has come to its end. */
  stage: number | undefined;
  /** When a place's device was last heard of, in the run's time; undefined where that is not asked. */
  heardMs: (place: string) => number | undefined;
  /** Places that have failed, in spite of which somebody resumed the rollout: what runs there has another chance. */
  forgiven: ReadonlySet<string>;
}

/** `found`, read from the store, with what was seen of the place `before`. */
export function followed(before: SlotFacts | undefined, found: SlotFacts, look: Look): SlotFacts {
  const known = before?.first !== undefined && before.first.id === found.first?.id ? before.first : undefined;
  const seen = known === undefined ? firstSight(found, look) : next(known, found, look);
  if (seen === undefined) return found;
  let first = withHeard(seen, look.heardMs(found.place));
  // Each restart is one more chance.
  const { last } = found;
  if (first.state === "failed" && last && last.id !== first.id && look.forgiven.has(found.place)) {
    first = { ...last, sinceMs: look.nowMs, watchedMs: look.nowMs };
  }
  const runningMs = first.state === "running" ? first.watchedMs : found.runningMs;
  const facts = { ...found, first, runningMs };
  return found.deferred === "offline" ? interrupted(facts, look) : facts;
}

/** The place's device fell silent: what it had not yet proved begins anew when it is back. */
export function interrupted(
  facts: SlotFacts,
  { nowMs, monitorMs, heardMs }: Pick<Look, "nowMs" | "monitorMs" | "heardMs">,
): SlotFacts {
  if (facts.first?.state !== "running") return facts;
  const first = withHeard(facts.first, heardMs(facts.place));
  return hasHeld(first, nowMs, monitorMs)
    ? { ...facts, first }
    : { ...facts, first: { ...first, watchedMs: nowMs, unseen: true } };
}

function withHeard(first: FirstTask, heardMs: number | undefined): FirstTask {
  return heardMs === undefined ? first : { ...first, heardMs };
}

/**
 * True if a task that runs was watched for the monitor period, and its device heard of since. A silent device may have
 * seen it fail: it counts as down only after some heartbeats.
 */
export function hasHeld(
  { watchedMs, unseen, heardMs = Infinity }: FirstTask,
  nowMs: number,
  monitorMs: number,
): boolean {
  return !unseen && watchedMs + monitorMs <= Math.min(nowMs, heardMs);
}

/** True if all that is missing is that its device is heard of. */
export function isSilent(
  { state, watchedMs, unseen, heardMs = Infinity }: FirstTask,
  nowMs: number,
  monitorMs: number,
): boolean {
  const provenMs = watchedMs + monitorMs;
  return state === "running" && !unseen && provenMs <= nowMs && heardMs < provenMs;
}

/**
 * The leader before may have had another clock, and while a rollout is held nobody looks on: of the stage that goes on, who
 * begins to look on watches everything for itself. What is behind the rollout is taken from the dates.
 */
function firstSight({ first, last, stage, place }: SlotFacts, look: Look): FirstTask | undefined {
  const { nowMs, monitorMs, isFirst, stage: present, forgiven } = look;
  if (!isFirst) return first && { ...first, sinceMs: nowMs, watchedMs: nowMs };
  if (stage === undefined || stage !== present) return first;
  const isSeen = first !== undefined &&
    (first.state !== "failed" || (first.ranMs <= monitorMs && !forgiven.has(place)));
  const found = isSeen ? first : last;
  return found?.state === "running" ? { ...found, watchedMs: nowMs } : found;
}

function next(known: FirstTask, facts: SlotFacts, { nowMs, monitorMs }: Look): FirstTask {
  const found = facts.first!;
  if (found.state === known.state) {
    if (found.state !== "running") return { ...found, sinceMs: known.sinceMs, ranMs: known.ranMs };
    return known.unseen ? { ...found, sinceMs: known.sinceMs, watchedMs: nowMs } : known;
  }
  if (found.state !== "failed") return { ...found, sinceMs: nowMs, watchedMs: nowMs };
  if (known.state !== "running" || found.ranMs < 0) {
    return { ...found, sinceMs: nowMs, ranMs: Math.min(found.ranMs, nowMs - known.sinceMs) };
  }
  const { unseen, watchedMs, heardMs = Infinity } = known;
  // Nobody knows when, if its device was silent by the end of the monitor period.
  const isUnknown = unseen || heardMs < watchedMs + monitorMs;
  return {
    ...found,
    sinceMs: nowMs,
    ranMs: isUnknown ? Math.min(monitorMs, nowMs - watchedMs) : nowMs - watchedMs,
  };
}
