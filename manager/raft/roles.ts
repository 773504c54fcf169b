/**
 * Changes of role (paper, figure 4; dissertation 9.6).
 *
 *               timeout                 a majority would vote             a majority voted, itself on disk
 *     follower ---------> pre_candidate ---------------------> candidate ---------------------------------> leader
 *        ^                  |       ^                           |     |                                       |
 *        |                  |       '--------- timeout ---------'     |                                       |
 *        '------------------+-----------------------------------------+---------------------------------------'
 *                        refused, or a leader of this term                a higher term, no majority heard for
 *                                                                         a timeout, or a disk that hangs
 *
 * A higher term makes followers of all, unless it stands in a question: a pre-vote, or a vote against a leader that is
 * heard. A leader that hands over makes a follower a candidate at once.
 */

import { invariant } from "./invariant.ts";
import { appendOwn, trackMembers } from "./replication.ts";
import type { RaftState } from "./state.ts";
import { type MemberID, NO_MEMBER } from "./types.ts";

/** Reads that this member asked for itself can no longer be answered; others notice by themselves. */
function loseReads(raft: RaftState): void {
  for (const read of raft.pendingReads) if (read.from === raft.id) raft.lostReads.push(read.id);
  for (const id of raft.forwardedReads) raft.lostReads.push(id);
  raft.pendingReads = [];
  raft.forwardedReads.clear();
}

function reset(raft: RaftState, term: number): void {
  invariant(term >= raft.term, "terms never go back", term, raft.term);
  if (term > raft.term) {
    raft.term = term;
    raft.vote = NO_MEMBER;
  }
  raft.leader = NO_MEMBER;
  raft.electionElapsed = raft.heartbeatElapsed = raft.transferElapsed = 0;
  raft.transferTarget = NO_MEMBER;
  raft.votes.clear();
  raft.progress.clear();
  raft.uncommittedBytes = 0;
  raft.resetElectionTimeout();
  loseReads(raft);
}

/** Follows `leader`, or waits for one. */
export function becomeFollower(raft: RaftState, term: number, leader: MemberID): void {
  reset(raft, term);
  raft.role = "follower";
  raft.leader = leader;
  invariant(leader !== raft.id, "nobody follows itself", leader);
}

/** Asks first; neither term nor vote change. */
export function becomePreCandidate(raft: RaftState): void {
  invariant(raft.role !== "leader", "a leader does not campaign", raft.role);
  reset(raft, raft.term);
  raft.role = "pre_candidate";
  raft.preVoteRound++;
}

/** Starts a term and votes for itself. The own vote counts once it is stored. */
export function becomeCandidate(raft: RaftState): void {
  invariant(raft.role !== "leader", "a leader does not campaign", raft.role);
  reset(raft, raft.term + 1);
  raft.role = "candidate";
  raft.vote = raft.id;
}

/** Takes over: probes everybody, and appends a no-op so that entries of earlier terms can be committed. */
export function becomeLeader(raft: RaftState): void {
  invariant(raft.role === "candidate", "only a candidate becomes leader", raft.role);
  invariant(
    raft.stored.term === raft.term && raft.stored.vote === raft.id,
    "the own vote is stored",
    raft.term,
  );
  reset(raft, raft.term);
  raft.role = "leader";
  raft.leader = raft.id;
  trackMembers(raft);
  const own = raft.progress.get(raft.id);
  if (own) own.accept(raft.log.stableIndex);
  const noop = appendOwn(raft, [{ type: "normal", data: new Uint8Array(0) }]);
  raft.uncommittedFrom = noop + 1;
}
