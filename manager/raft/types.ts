/** The nouns of the Raft core: entries and states. */

/** A member's Raft identity: a random integer from 1 to 2^53 - 1, never used twice in a cluster's life. */
export type MemberID = number;

/** Stands where no member is meant: nobody leads, no vote given. */
export const NO_MEMBER: MemberID = 0;

/** What an entry means: `normal` is the application's, `conf_change` is decoded by the core. */
export type EntryType = "normal" | "conf_change";

/** One record of the log. `data` is never copied nor changed by the core; the no-op of a new leader is empty. */
export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  readonly data: Uint8Array;
}

/** What must survive a crash besides entries (paper, figure 2). */
export interface HardState {
  readonly term: number;
  /** Who got this member's vote in `term`; {@linkcode NO_MEMBER} if nobody. */
  readonly vote: MemberID;
  /** May be older than what was known when the node stopped; never newer than the stored log. */
  readonly commit: number;
}

/** The membership after some entry. Lists are sorted; outside of a joint change the `…Outgoing`, `…Next` are empty. */
export interface ConfState {
  readonly voters: readonly MemberID[];
  /** The voters before the joint change in progress: their majority is needed as well. */
  readonly votersOutgoing: readonly MemberID[];
  readonly learners: readonly MemberID[];
  /** Outgoing voters that become learners when the joint change is left. */
  readonly learnersNext: readonly MemberID[];
  /** Members that were removed, oldest first: they may never come back under the same ID. */
  readonly removed: readonly MemberID[];
}

/** Names a snapshot; its data stays with the caller. */
export interface SnapshotMeta {
  /** The last entry that the snapshot contains, and its term. */
  readonly index: number;
  readonly term: number;
  /** The membership after that entry. */
  readonly confState: ConfState;
}

/** What a member is at the moment. */
export type Role = "follower" | "pre_candidate" | "candidate" | "leader";

/** Worth watching, not worth storing. */
export interface SoftState {
  readonly role: Role;
  readonly leader: MemberID;
}

/** The answer to a `readIndex`: the read may be served once `index` is applied. */
export interface ReadState {
  /** As returned by `readIndex`. */
  readonly id: number;
  readonly index: number;
}

/** Bytes an entry is charged with besides its data, so that many empty ones still fill a limit. */
export const ENTRY_OVERHEAD_BYTES = 16;

/** What an entry counts against limits on messages and memory, in bytes. */
export function entrySize(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}
