/** Membership changes as pure functions. Why they are as they are: docs/decisions/0010. */

import { invariant } from "./invariant.ts";
import { type ConfState, type MemberID, NO_MEMBER } from "./types.ts";

/** Members of one cluster; SwarmKit advises 7, and every one costs the leader a message per entry. */
const MAX_MEMBERS = 64;

/** Removed IDs kept; beyond it the oldest is forgotten, as its machine has long learned that it is out. */
export const MAX_REMOVED = 4096;

/** What happens to one member. `add_learner` turns a voter into a learner, `add_voter` promotes. */
export interface MemberChange {
  readonly op: "add_voter" | "add_learner" | "remove";
  readonly id: MemberID;
}

/**
 * The meaning of a `conf_change` entry. More than one change to the voters goes through joint consensus, and the leader
 * adds `leave_joint` by itself. `force` is only written offline, after a majority was lost for good.
 */
export type ConfChange =
  | { readonly kind: "change"; readonly changes: readonly MemberChange[] }
  | { readonly kind: "leave_joint" }
  | { readonly kind: "force"; readonly confState: ConfState };

/** `change` as the data of an entry: JSON in UTF-8. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(change));
}

/** The inverse of {@linkcode encodeConfChange}; an unknown kind stops the node rather than being skipped. */
export function decodeConfChange(data: Uint8Array): ConfChange {
  const change = JSON.parse(new TextDecoder().decode(data)) as ConfChange;
  const known = change.kind === "change" || change.kind === "leave_joint" || change.kind === "force";
  invariant(known, "the kind of a membership change is known", (change as { kind: unknown }).kind);
  return change;
}

/** Every member, voting or not, each once. */
export function members(conf: ConfState): MemberID[] {
  return [...new Set([...conf.voters, ...conf.votersOutgoing, ...conf.learners, ...conf.learnersNext])];
}

/** Votes count, in either half. */
export function isVoter(conf: ConfState, id: MemberID): boolean {
  return conf.voters.includes(id) || conf.votersOutgoing.includes(id);
}

/** A joint change is in progress. */
export function isJoint(conf: ConfState): boolean {
  return conf.votersOutgoing.length > 0;
}

const sorted = (ids: Iterable<MemberID>) => [...ids].sort((a, b) => a - b);

/** Adds those that are members of `before` and no longer of `after` to the list of removed ones. */
function withRemoved(before: ConfState, after: Omit<ConfState, "removed">): ConfState {
  const conf = { ...after, removed: before.removed };
  const stay = members(conf);
  const gone = members(before).filter((id) => !stay.includes(id));
  return gone.length === 0 ? conf : { ...conf, removed: [...before.removed, ...gone].slice(-MAX_REMOVED) };
}

function applyChanges(conf: ConfState, changes: readonly MemberChange[]): ConfState {
  invariant(!isJoint(conf), "one membership change at a time");
  const voters = new Set(conf.voters);
  const learners = new Set(conf.learners);
  for (const { op, id } of changes) {
    voters.delete(id);
    learners.delete(id);
    if (op === "add_voter") voters.add(id);
    else if (op === "add_learner") learners.add(id);
  }
  const changed = sorted(voters).filter((id) => !conf.voters.includes(id)).length +
    conf.voters.filter((id) => !voters.has(id)).length;
  if (changed <= 1) {
    const next = { voters: sorted(voters), votersOutgoing: [], learners: sorted(learners), learnersNext: [] };
    return withRemoved(conf, next);
  }
  // An outgoing voter keeps its vote until the joint change is left, so it cannot be a learner before.
  const later = sorted(learners).filter((id) => conf.voters.includes(id));
  return withRemoved(conf, {
    voters: sorted(voters),
    votersOutgoing: conf.voters,
    learners: sorted(learners).filter((id) => !later.includes(id)),
    learnersNext: later,
  });
}

/** The membership after `change`. */
export function applyConfChange(conf: ConfState, change: ConfChange): ConfState {
  if (change.kind === "force") return change.confState;
  if (change.kind === "change") {
    const next = applyChanges(conf, change.changes);
    invariant(next.voters.length > 0, "a cluster keeps a voter");
    return next;
  }
  invariant(isJoint(conf), "only a joint change can be left");
  return withRemoved(conf, {
    voters: conf.voters,
    votersOutgoing: [],
    learners: sorted([...conf.learners, ...conf.learnersNext]),
    learnersNext: [],
  });
}

/** Why `changes` make no sense for `conf`, or null. Who is reachable or caught up is judged elsewhere. */
export function confChangeProblem(conf: ConfState, changes: readonly MemberChange[]): string | null {
  if (changes.length === 0) return "there are no changes";
  if (isJoint(conf)) return "a joint change is in progress";
  const seen = new Set<MemberID>();
  for (const { op, id } of changes) {
    if (!Number.isSafeInteger(id) || id <= NO_MEMBER) return `${id} is not a member ID`;
    if (seen.has(id)) return `member ${id} is changed twice`;
    seen.add(id);
    if (conf.removed.includes(id)) return `member ${id} was removed before, and an ID is never used again`;
    if (op === "remove" && !members(conf).includes(id)) return `member ${id} does not exist`;
    if (op === "add_voter" && conf.voters.includes(id)) return `member ${id} votes already`;
    if (op === "add_learner" && conf.learners.includes(id)) return `member ${id} is a learner already`;
  }
  const next = applyChanges(conf, changes);
  if (next.voters.length === 0) return "no voter would be left";
  if (members(next).length > MAX_MEMBERS) return `more than ${MAX_MEMBERS} members`;
  return null;
}
