/** When entries are committed (paper 5.3, 5.4.2), and how committed membership changes take effect. */

import { applyConfChange, encodeConfChange, isJoint, isVoter } from "./conf_change.ts";
import { invariant } from "./invariant.ts";
import { quorumIndex } from "./quorum.ts";
import { releaseReads, startWaitingReads } from "./read_index.ts";
import { announceTo, appendOwn, trackMembers } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import type { RaftState } from "./state.ts";
import { NO_MEMBER } from "./types.ts";

/** Everybody who is still a member learns of the change, the removed ones of their removal: once this member has stored it. */
function announceCommit(raft: RaftState): void {
  for (const id of raft.progress.keys()) if (id !== raft.id) announceTo(raft, id);
}

/** Lets committed membership changes take effect; a leader that is no voter any more steps down. */
export function applyOpenConfChanges(raft: RaftState): void {
  const { log } = raft;
  if (raft.openConfChanges.length === 0 || raft.openConfChanges[0]! > log.committed) return;
  if (raft.role === "leader") announceCommit(raft);
  while (raft.openConfChanges.length > 0 && raft.openConfChanges[0]! <= log.committed) {
    const index = raft.openConfChanges.shift()!;
    raft.setConf(applyConfChange(raft.conf, raft.confChangeAt(index)));
    raft.confHistory.push({ index, confState: raft.conf });
    raft.confIndex = index;
  }
  if (raft.role !== "leader") return;
  if (!isVoter(raft.conf, raft.id)) return becomeFollower(raft, raft.term, NO_MEMBER);
  trackMembers(raft);
  const target = raft.transferTarget;
  if (target !== NO_MEMBER && !raft.conf.voters.includes(target)) raft.transferTarget = NO_MEMBER;
}

/** Everything up to `index` is committed; membership changes in it take effect at once. */
export function commitTo(raft: RaftState, index: number): void {
  if (index <= raft.log.committed) return;
  invariant(index <= raft.log.lastIndex, "commit stays within the log", index, raft.log.lastIndex);
  raft.log.commitTo(index);
  applyOpenConfChanges(raft);
  invariant(!(raft.openConfChanges[0]! <= raft.log.committed), "committed changes took effect");
}

/** A leader in a joint membership leaves it as soon as that is certain; so does its successor. */
function leaveJoint(raft: RaftState): void {
  if (raft.role !== "leader" || !isJoint(raft.conf) || raft.openConfChanges.length > 0) return;
  if (!raft.hasCommittedInTerm() || raft.hasUnstoredConf) return;
  invariant(raft.conf.voters.length > 0, "the incoming half has voters");
  appendOwn(raft, [{ type: "conf_change", data: encodeConfChange({ kind: "leave_joint" }) }]);
}

/** Commits what a majority stores. */
export function maybeCommit(raft: RaftState): void {
  invariant(raft.role === "leader", "only a leader counts", raft.role);
  const before = raft.log.committed;
  // In a loop, because committing a change of membership may leave a smaller majority, which stores more.
  while (raft.role === "leader") {
    const index = quorumIndex(raft.conf, (id) => raft.progress.get(id)?.match ?? 0);
    if (index <= raft.log.committed || !raft.mayCommitByCounting(index)) break;
    commitTo(raft, index);
  }
  invariant(raft.log.committed >= before, "commit never goes back", raft.log.committed, before);
  if (raft.role !== "leader") return;
  leaveJoint(raft);
  if (raft.log.committed > before) startWaitingReads(raft);
  releaseReads(raft);
}
