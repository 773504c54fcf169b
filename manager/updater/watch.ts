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
}

/** `found`, read from the store, with what was seen of the place `before`. */
export function followed(before: SlotFacts | undefined, found: SlotFacts, look: Look): SlotFacts {
  if (found.first === undefined) return found;
  const known = before?.first?.id === found.first.id ? before.first : undefined;
  const first = known === undefined ? firstSight(found, look) : next(known, found, look);
  const runningMs = first.state === "running" ? first.watchedMs : found.runningMs;
  const facts = { ...found, first, runningMs };
  return found.deferred === "offline" ? interrupted(facts, look) : facts;
}

/** The place's device fell silent: what it had not yet proved begins anew when it is back. */
export function interrupted(
  facts: SlotFacts,
  { nowMs, monitorMs }: Pick<Look, "nowMs" | "monitorMs">,
): SlotFacts {
  const { first } = facts;
  if (first?.state !== "running" || isProven(first, nowMs, monitorMs)) return facts;
  return { ...facts, first: { ...first, watchedMs: nowMs, unseen: true } };
}

function isProven({ watchedMs, unseen }: FirstTask, nowMs: number, monitorMs: number): boolean {
  return !unseen && watchedMs + monitorMs <= nowMs;
}

/**
 * The leader before may have had another clock, so that of the stage that goes on a new one watches everything for itself.
 * What is behind the rollout is taken from the dates.
 */
function firstSight({ first, stage }: SlotFacts, { nowMs, isFirst, stage: present }: Look): FirstTask {
  const found = first!;
  if (!isFirst) return { ...found, sinceMs: nowMs, watchedMs: nowMs };
  const anew = found.state === "running" && stage !== undefined && stage === present;
  return anew ? { ...found, watchedMs: nowMs } : found;
}

function next(known: FirstTask, facts: SlotFacts, { nowMs }: Look): FirstTask {
  const found = facts.first!;
  if (found.state === known.state) {
    if (found.state !== "running") return { ...found, sinceMs: known.sinceMs, ranMs: known.ranMs };
    return known.unseen ? { ...found, sinceMs: known.sinceMs, watchedMs: nowMs } : known;
  }
  if (found.state !== "failed") return { ...found, sinceMs: nowMs, watchedMs: nowMs };
  if (known.state !== "running" || found.ranMs < 0) {
    return { ...found, sinceMs: nowMs, ranMs: Math.min(found.ranMs, nowMs - known.sinceMs) };
  }
  return { ...found, sinceMs: nowMs, ranMs: known.unseen ? 0 : nowMs - known.watchedMs };
}
