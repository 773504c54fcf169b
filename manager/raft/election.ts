/** Elections with pre-vote (paper 5.2, 5.4.1; dissertation 4.2.3, 9.6). */

import { isVoter } from "./conf_change.ts";
import { invariant } from "./invariant.ts";
import type { PreVote, PreVoteResponse, Vote, VoteResponse } from "./messages.ts";
import { quorumIndex, type VoteResult, voteResult } from "./quorum.ts";
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from "./roles.ts";
import type { RaftState } from "./state.ts";
import { type MemberID, NO_MEMBER } from "./types.ts";

/** Learners, strangers and members that install a snapshot never campaign. */
export function canCampaign(raft: RaftState): boolean {
  return raft.role !== "leader" && isVoter(raft.conf, raft.id) && raft.log.pendingSnapshot === null;
}

function otherVoters(raft: RaftState): MemberID[] {
  const ids = new Set([...raft.conf.voters, ...raft.conf.votersOutgoing]);
  ids.delete(raft.id);
  return [...ids];
}

function recordVote(raft: RaftState, from: MemberID, granted: boolean): VoteResult {
  invariant(raft.role === "candidate" || raft.role === "pre_candidate", "a vote is open", raft.role);
  if (!raft.votes.has(from)) raft.votes.set(from, granted);
  return voteResult(raft.conf, (id) => raft.votes.get(id));
}

function startElection(raft: RaftState, transfer: boolean): void {
  becomeCandidate(raft);
  const { lastIndex, lastTerm } = raft.log;
  invariant(raft.term > lastTerm, "a new term is beyond the log's", raft.term, lastTerm);
  // Votes are asked for after the own one is stored, so that a member whose disk hangs starts no elections.
  for (const to of otherVoters(raft)) {
    raft.sendAfterWrite({ type: "vote", to, lastIndex, lastTerm, transfer });
  }
}

function startPreVote(raft: RaftState): void {
  becomePreCandidate(raft);
  const { lastIndex, lastTerm } = raft.log;
  if (recordVote(raft, raft.id, true) === "won") return startElection(raft, false);
  const [term, round] = [raft.term + 1, raft.preVoteRound];
  invariant(round > 0, "rounds are counted from 1", round);
  for (const to of otherVoters(raft)) raft.send({ type: "pre_vote", to, term, lastIndex, lastTerm, round });
}

/**
 * Tries to become leader.
 *
 * @param transfer the leader asked for it: no pre-vote, and leases are overridden
 */
export function campaign(raft: RaftState, transfer = false): void {
  if (!canCampaign(raft)) return;
  if (raft.config.preVote && !transfer) startPreVote(raft);
  else startElection(raft, transfer);
  invariant(raft.votes.size <= 1, "an election starts without foreign votes", raft.votes.size);
}

/** The own vote is stored and counts now. */
export function countOwnVote(raft: RaftState): void {
  if (raft.role !== "candidate") return;
  if (raft.stored.term !== raft.term || raft.stored.vote !== raft.id) return;
  settleElection(raft, recordVote(raft, raft.id, true));
}

function settleElection(raft: RaftState, result: VoteResult): void {
  invariant(raft.role === "candidate", "a real election is settled", raft.role);
  if (result === "lost") return becomeFollower(raft, raft.term, NO_MEMBER);
  // The majority may be complete before the own vote is stored; then it has to wait for it.
  if (result === "won" && raft.votes.has(raft.id)) becomeLeader(raft);
}

/** A leader was heard of recently, so an election can only disturb. */
export function inLease(raft: RaftState): boolean {
  if (!raft.config.checkQuorum || raft.leader === NO_MEMBER) return false;
  return raft.role === "leader" || raft.electionElapsed < raft.config.electionTicks;
}

/**
 * The connection over which `id` sent has broken. If that is the leader it has probably died, so the rest of the wait for
 * it is enough: its lease is over here. Whoever still hears it keeps refusing, and an election needs a majority of those
 * who do not; without that question first, a broken connection would depose a leader that is well.
 */
export function reportLost(raft: RaftState, id: MemberID): void {
  if (raft.role !== "follower" || raft.leader !== id || !raft.config.preVote) return;
  raft.electionElapsed = Math.max(raft.electionElapsed, raft.config.electionTicks);
}

/** Says whether it would vote; binds to nothing. */
export function handlePreVote(raft: RaftState, message: PreVote): void {
  const { from: to, term, round, lastIndex, lastTerm } = message;
  const granted = term > raft.term && raft.log.isUpToDate(lastIndex, lastTerm);
  invariant(!granted || !inLease(raft), "no pre-vote against a live leader");
  // A grant repeats the term that was asked about. A refusal tells this member's own term: the candidate may be behind.
  raft.send({ type: "pre_vote_response", to, term: granted ? term : raft.term, granted, round });
}

/** Votes at most once in a term, for a log that is complete. Learners vote too: they may be voters unknowingly. */
export function handleVote(raft: RaftState, message: Vote): void {
  const { from: to, lastIndex, lastTerm } = message;
  invariant(message.term === raft.term, "the term was adopted", message.term, raft.term);
  const free = raft.vote === to || (raft.vote === NO_MEMBER && raft.leader === NO_MEMBER);
  const granted = free && raft.log.isUpToDate(lastIndex, lastTerm);
  if (granted) {
    if (raft.role !== "follower") becomeFollower(raft, raft.term, NO_MEMBER);
    raft.vote = to;
    raft.electionElapsed = 0;
  }
  invariant(!granted || raft.role === "follower", "only a follower votes for another", raft.role);
  raft.sendAfterWrite({ type: "vote_response", to, granted });
}

/** Counts a pre-vote of this round. */
export function handlePreVoteResponse(raft: RaftState, message: PreVoteResponse): void {
  if (raft.role !== "pre_candidate" || message.round !== raft.preVoteRound) return;
  if (message.granted && message.term !== raft.term + 1) return;
  const result = recordVote(raft, message.from, message.granted);
  if (result === "won") startElection(raft, false);
  else if (result === "lost") becomeFollower(raft, raft.term, NO_MEMBER);
}

/** Counts a vote of this term. */
export function handleVoteResponse(raft: RaftState, message: VoteResponse): void {
  if (raft.role !== "candidate") return;
  invariant(message.term === raft.term, "the vote is of this term", message.term, raft.term);
  settleElection(raft, recordVote(raft, message.from, message.granted));
}

/** Whether a majority was heard of within an election timeout (dissertation 6.2). */
export function quorumActive(raft: RaftState): boolean {
  invariant(raft.role === "leader", "only a leader needs a quorum", raft.role);
  return quorumIndex(raft.conf, (id) => raft.isActive(id) ? 1 : 0) === 1;
}
