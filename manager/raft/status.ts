import type { ProgressState } from "./progress.ts";
import type { RaftState } from "./state.ts";
import type { ConfState, MemberID, Role } from "./types.ts";

/** What a leader knows about one member. */
export interface MemberStatus {
  readonly id: MemberID;
  readonly state: ProgressState;
  readonly match: number;
  readonly next: number;
  /** Heard of within the last election timeout. */
  readonly active: boolean;
  readonly paused: boolean;
  readonly inflight: number;
}

/** A member as it sees itself. */
export interface RaftStatus {
  readonly id: MemberID;
  readonly role: Role;
  readonly term: number;
  readonly vote: MemberID;
  readonly leader: MemberID;
  readonly commit: number;
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Everything to here is known to be stored. */
  readonly stableIndex: number;
  readonly confState: ConfState;
  /** Who leadership is being handed to; 0 if to nobody. */
  readonly transferTarget: MemberID;
  readonly uncommittedBytes: number;
  /** A leader's members, itself included; empty for others. */
  readonly members: readonly MemberStatus[];
}

/** A snapshot of `raft` for people and for decisions above the core. */
export function statusOf(raft: RaftState): RaftStatus {
  const members = [...raft.progress].map(([id, progress]) => ({
    id,
    state: progress.state,
    match: progress.match,
    next: progress.next,
    active: raft.isActive(id),
    paused: progress.isPaused(),
    inflight: progress.inflights.count,
  }));
  const { id, role, term, vote, leader, log, conf, transferTarget, uncommittedBytes } = raft;
  const { committed: commit, applied, firstIndex, lastIndex, stableIndex } = log;
  return {
    id,
    role,
    term,
    vote,
    leader,
    commit,
    applied,
    firstIndex,
    lastIndex,
    stableIndex,
    confState: conf,
    transferTarget,
    uncommittedBytes,
    members,
  };
}
