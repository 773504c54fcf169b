/** Dispatch of messages by term and type (paper 5.1). */

import {
  campaign,
  handlePreVote,
  handlePreVoteResponse,
  handleVote,
  handleVoteResponse,
  inLease,
} from "./election.ts";
import { handleAppend, handleHeartbeat, handleSnapshot } from "./follower.ts";
import { invariant } from "./invariant.ts";
import { handleAppendResponse, handleHeartbeatResponse } from "./leader.ts";
import { isFromLeader, malformed, type Message } from "./messages.ts";
import { handleReadIndex, handleReadIndexResponse } from "./read_index.ts";
import { becomeFollower } from "./roles.ts";
import type { RaftState } from "./state.ts";
import { NO_MEMBER } from "./types.ts";

/** What became of a message. Only the first kind can have changed anything. */
export type StepOutcome =
  | "stepped"
  /** For another member: the address is stale, or this member was reinstalled. */
  | "not_for_me"
  /** The sender was removed; the caller should tell it, as the cluster never will. */
  | "removed_sender"
  /** No correct core makes such a message. */
  | "malformed";

/** A message of a higher term ends this one, except for questions. @returns false to ignore the message */
function adoptTerm(raft: RaftState, message: Message): boolean {
  if (message.type === "pre_vote") return !inLease(raft);
  if (message.type === "vote" && !message.transfer && inLease(raft)) return false;
  // A granted pre-vote repeats the term that this member only asked about: nobody is in that term yet.
  if (message.type === "pre_vote_response" && message.granted) return true;
  becomeFollower(raft, message.term, isFromLeader(message) ? message.from : NO_MEMBER);
  return true;
}

function handleOldTerm(raft: RaftState, message: Message): void {
  invariant(message.term < raft.term, "the term is old", message.term, raft.term);
  if (message.type === "pre_vote") {
    const { from: to, round } = message;
    raft.send({ type: "pre_vote_response", to, granted: false, round });
    return;
  }
  if (!isFromLeader(message) || !(raft.config.preVote || raft.config.checkQuorum)) return;
  // A leader of an old term does not hear this member's votes (pre-vote, lease), and this member takes nothing from it. An
  // answer with the newer term makes the leader step down, which ends that.
  const { from: to } = message;
  raft.sendAfterWrite({ type: "append_response", to, index: 0, rejected: false, hintIndex: 0, hintTerm: 0 });
}

/** A message that shows its sender to lead this term. */
function followSender(raft: RaftState, message: Message): void {
  invariant(raft.role !== "leader", "one leader in a term", message.from, raft.id);
  invariant(raft.leader === NO_MEMBER || raft.leader === message.from, "one leader in a term", message.from);
  if (raft.role !== "follower" || raft.leader === NO_MEMBER) becomeFollower(raft, raft.term, message.from);
  raft.electionElapsed = 0;
}

function dispatch(raft: RaftState, message: Message): void {
  if (isFromLeader(message)) followSender(raft, message);
  switch (message.type) {
    case "pre_vote":
      return handlePreVote(raft, message);
    case "pre_vote_response":
      return handlePreVoteResponse(raft, message);
    case "vote":
      return handleVote(raft, message);
    case "vote_response":
      return handleVoteResponse(raft, message);
    case "append":
      return handleAppend(raft, message);
    case "append_response":
      return raft.role === "leader" ? handleAppendResponse(raft, message) : undefined;
    case "heartbeat":
      return handleHeartbeat(raft, message);
    case "heartbeat_response":
      return raft.role === "leader" ? handleHeartbeatResponse(raft, message) : undefined;
    case "snapshot":
      return handleSnapshot(raft, message);
    case "timeout_now":
      return campaign(raft, true);
    case "read_index":
      return handleReadIndex(raft, message.from, message.id);
    case "read_index_response":
      return handleReadIndexResponse(raft, message.from, message.id, message.index);
    default:
      invariant(false, "the type of a message is known", (message as Message).type);
  }
}

/** Takes in one message from another member. */
export function step(raft: RaftState, message: Message): StepOutcome {
  if (message.to !== raft.id) return "not_for_me";
  if (message.from === raft.id || malformed(message) !== null) return "malformed";
  // The sender must not hear that it is out before the removal is stored here; until then its messages are dropped.
  if (raft.removed.has(message.from)) return raft.hasUnstoredConf ? "stepped" : "removed_sender";
  if (message.term < raft.term) {
    handleOldTerm(raft, message);
    return "stepped";
  }
  if (message.term > raft.term && !adoptTerm(raft, message)) return "stepped";
  // A pre-vote for this very term is refused as well while a leader is heard: the one who asks may be a term behind.
  if (message.type === "pre_vote" && inLease(raft)) return "stepped";
  dispatch(raft, message);
  return "stepped";
}
