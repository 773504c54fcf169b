/** Every message between cores. The transport adds nothing but the data of snapshots. */

import type { Entry, MemberID, SnapshotMeta } from "./types.ts";

interface Envelope {
  readonly from: MemberID;
  readonly to: MemberID;
  /** The sender's term; of a pre-vote and its grant: the term that the candidate would start. */
  readonly term: number;
}

/** Asks whether an election could be won, without disturbing anybody (dissertation 9.6). */
export interface PreVote extends Envelope {
  readonly type: "pre_vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Echoed, so that an answer to an earlier round does not count in this one. */
  readonly round: number;
}

/** The answer to a {@linkcode PreVote}. */
export interface PreVoteResponse extends Envelope {
  readonly type: "pre_vote_response";
  readonly granted: boolean;
  readonly round: number;
}

/** RequestVote (paper 5.2, 5.4.1). */
export interface Vote extends Envelope {
  readonly type: "vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader asked for this election, so a leader heard of recently is no reason to refuse. */
  readonly transfer: boolean;
}

/** The answer to a {@linkcode Vote}. */
export interface VoteResponse extends Envelope {
  readonly type: "vote_response";
  readonly granted: boolean;
}

/** AppendEntries (paper 5.3); without entries it carries the commit index, or probes. */
export interface Append extends Envelope {
  readonly type: "append";
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
}

/** The answer to an {@linkcode Append} or {@linkcode InstallSnapshot}. */
export interface AppendResponse extends Envelope {
  readonly type: "append_response";
  /** Accepted: the last index known to equal the leader's. Rejected: the `prevIndex` that did not match. */
  readonly index: number;
  readonly rejected: boolean;
  /** Rejected: the highest index at which the logs may agree, and the follower's term there. */
  readonly hintIndex: number;
  readonly hintTerm: number;
}

/** Keeps followers from campaigning; never rejected. */
export interface Heartbeat extends Envelope {
  readonly type: "heartbeat";
  /** Never beyond what the receiver is known to hold. */
  readonly commit: number;
  /** The newest read round, echoed to confirm leadership; 0 if none. */
  readonly readRound: number;
}

/** The answer to a {@linkcode Heartbeat}. */
export interface HeartbeatResponse extends Envelope {
  readonly type: "heartbeat_response";
  readonly readRound: number;
}

/** InstallSnapshot (paper 7): stepped at the receiver once the data has arrived completely. */
export interface InstallSnapshot extends Envelope {
  readonly type: "snapshot";
  readonly snapshot: SnapshotMeta;
}

/** Tells the receiver to campaign at once (dissertation 3.10). */
export interface TimeoutNow extends Envelope {
  readonly type: "timeout_now";
}

/** A follower's read, handed to the leader (dissertation 6.4). */
export interface ReadIndex extends Envelope {
  readonly type: "read_index";
  readonly id: number;
}

/** The answer to a {@linkcode ReadIndex}. */
export interface ReadIndexResponse extends Envelope {
  readonly type: "read_index_response";
  readonly id: number;
  readonly index: number;
}

/** Anything that one core sends to another. */
export type Message =
  | PreVote
  | PreVoteResponse
  | Vote
  | VoteResponse
  | Append
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | InstallSnapshot
  | TimeoutNow
  | ReadIndex
  | ReadIndexResponse;

/** Message types that only a leader sends: their sender leads their term. */
export function isFromLeader(message: Message): boolean {
  const { type } = message;
  return type === "append" || type === "heartbeat" || type === "snapshot";
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Why `message` cannot have been made by a correct core, or null. Called for everything that comes in. */
export function malformed(message: Message): string | null {
  if (!isCount(message.from) || message.from === 0) return "from: not a member ID";
  if (!isCount(message.term) || message.term === 0) return "term: not a positive integer";
  if (message.type === "append") {
    const { prevIndex, prevTerm, entries, commit, term } = message;
    if (!isCount(prevIndex) || !isCount(prevTerm) || !isCount(commit)) return "append: not a count";
    let [index, last] = [prevIndex, prevTerm];
    for (const entry of entries) {
      if (entry.index !== ++index) return "entries: not consecutive";
      if (entry.term < last || entry.term > term) return "entries: terms do not grow";
      last = entry.term;
    }
  }
  if (message.type === "snapshot" && !(isCount(message.snapshot.index) && message.snapshot.index > 0)) {
    return "snapshot: not an index";
  }
  return null;
}
