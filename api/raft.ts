/**
 * Messages between the members of the manager quorum. All calls are for managers only. Member IDs are random integers
 * from 1 to 2^53 - 1 and never used twice; addresses are HOST:PORT.
 */

/** Names of the calls between managers. */
export const RAFT_METHODS = {
  /** Client stream: {@linkcode RaftHello}, then {@linkcode RaftMessages}; answered by {@linkcode RaftStreamEnd}. */
  messages: "raft.messages",
  /** Client stream: {@linkcode RaftHello}, {@linkcode SnapshotHead}, {@linkcode SnapshotChunk}s; the same answer. */
  snapshot: "raft.snapshot",
  /** Unary: {} to {@linkcode RaftHealth}. */
  health: "raft.health",
  /** Unary: {@linkcode RaftJoinRequest} to {@linkcode RaftMembershipResponse}. */
  join: "raft.join",
  /** Unary: {@linkcode RaftLeaveRequest} to {@linkcode RaftMembershipResponse}. */
  leave: "raft.leave",
  /** As `leave`, by a manager that could not join: its node is forgotten too. */
  withdraw: "raft.withdraw",
} as const;

/** First item of a stream: who sends to whom, and where the sender is found. */
export interface RaftHello {
  From: number;
  To: number;
  Addr: string;
}

/** Some messages of the Raft core. */
export interface RaftMessages {
  Messages: unknown[];
}

/** Second item of a snapshot: the core's message, and the members with their addresses. */
export interface SnapshotHead {
  Message: unknown;
  Members: { MemberID: number; NodeID: string; Addr: string }[];
}

/** Some records of the state: keys and values in turn. The last chunk says how many there were in all. */
export interface SnapshotChunk {
  Records: (string | Uint8Array)[];
  Total?: number;
}

/** Why the receiver of a stream has heard enough. */
export interface RaftStreamEnd {
  /** The cluster has removed the sender: it must stop. */
  Removed?: boolean;
  /** A snapshot has arrived completely. */
  Arrived?: boolean;
}

/** Who answers at an address. */
export interface RaftHealth {
  NodeID: string;
  MemberID: number;
}

/** A manager asks to become a member, or says where it is found now. */
export interface RaftJoinRequest {
  NodeID: string;
  MemberID: number;
  /** An unspecified host (0.0.0.0) stands for the address the call comes from. */
  Addr: string;
}

/** A manager asks to be removed. */
export interface RaftLeaveRequest {
  NodeID: string;
}

/** Done, unless `Leader` names the manager to ask instead. */
export interface RaftMembershipResponse {
  Leader?: { NodeID: string; Addr: string };
}
