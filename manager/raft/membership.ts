/** Proposing membership changes (dissertation 4). The rules and their reasons: docs/decisions/0010. */

import { applyConfChange, type ConfChange, confChangeProblem } from "./conf_change.ts";
import { encodeConfChange, isJoint, type MemberChange } from "./conf_change.ts";
import { invariant } from "./invariant.ts";
import { quorumIndex } from "./quorum.ts";
import { appendOwn } from "./replication.ts";
import type { RaftState } from "./state.ts";
import { type ConfState, type MemberID, NO_MEMBER } from "./types.ts";

/** Why a membership change was refused. */
export type ConfChangeRefusal =
  | "not_leader"
  | "transferring"
  /** A new leader has not committed an own entry, or has not heard of enough voters yet. Retry. */
  | "not_ready"
  /** An earlier change is not finished. Retry. */
  | "in_progress"
  /** The change contradicts the membership; `detail` says how. */
  | "invalid"
  /** A member to be promoted is no learner, is silent or lacks entries. Retry. */
  | "not_caught_up"
  /** The members that can be reached would be no majority. */
  | "would_lose_quorum";

/** The outcome of proposing a membership change. */
export type ConfChangeResult =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | { readonly ok: false; readonly reason: ConfChangeRefusal; readonly detail: string };

function refuse(reason: ConfChangeRefusal, detail: string): ConfChangeResult {
  return { ok: false, reason, detail };
}

function isCaughtUp(raft: RaftState, id: MemberID): boolean {
  const progress = raft.progress.get(id);
  if (!progress || !raft.isActive(id) || progress.state !== "replicate") return false;
  return raft.log.lastIndex - progress.match <= raft.config.maxPromotionLag;
}

function losesQuorum({ voters }: ConfState, isThere: (id: MemberID) => boolean): boolean {
  invariant(voters.length > 0, "a cluster keeps a voter");
  return quorumIndex({ voters, votersOutgoing: [] }, (id) => isThere(id) ? 1 : 0) === 0;
}

/** Whether a member is sure to be there, and not only given time to answer a new leader. */
function hasAnswered(raft: RaftState, id: MemberID): boolean {
  return raft.isActive(id) && (id === raft.id || raft.progressOf(id).answered);
}

/** Proposes `changes`, all at once. They take effect when they are committed. */
export function proposeConfChange(raft: RaftState, changes: readonly MemberChange[]): ConfChangeResult {
  if (raft.role !== "leader") return refuse("not_leader", `member ${raft.id} does not lead`);
  if (raft.transferTarget !== NO_MEMBER) return refuse("transferring", `to member ${raft.transferTarget}`);
  if (!raft.hasCommittedInTerm()) {
    return refuse("not_ready", `no entry of term ${raft.term} is committed yet`);
  }
  const open = raft.openConfChanges[0];
  if (open !== undefined || isJoint(raft.conf)) {
    return refuse("in_progress", `change at index ${open ?? "(joint)"}`);
  }
  if (raft.hasUnstoredConf) return refuse("in_progress", `change at index ${raft.confIndex} is being stored`);
  const problem = confChangeProblem(raft.conf, changes);
  if (problem !== null) return refuse("invalid", problem);
  for (const { op, id } of changes) {
    if (op === "add_voter" && !isCaughtUp(raft, id)) return refuse("not_caught_up", `member ${id}`);
  }
  const change: ConfChange = { kind: "change", changes };
  const next = applyConfChange(raft.conf, change);
  if (losesQuorum(next, (id) => raft.isActive(id))) {
    return refuse("would_lose_quorum", "too few of the remaining voters were heard of lately");
  }
  if (losesQuorum(next, (id) => hasAnswered(raft, id))) {
    return refuse("not_ready", "too few of the remaining voters have answered this leader so far");
  }
  const index = appendOwn(raft, [{ type: "conf_change", data: encodeConfChange(change) }]);
  invariant(
    raft.openConfChanges.length === 1,
    "one membership change at a time",
    raft.openConfChanges.length,
  );
  return { ok: true, index, term: raft.term };
}
