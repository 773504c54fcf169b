import type { ConfState, Entry, HardState, MemberID, SnapshotMeta } from "./types.ts";

/** What a node finds when it starts. */
export interface InitialState {
  readonly hardState: HardState;
  /** The last index whose effects the application has stored; the log must reach back to the one after it. */
  readonly applied: number;
  /** The membership after `applied`. */
  readonly confState: ConfState;
}

/**
 * The stored log as the core reads it. All methods answer at once from memory; what they throw makes the node stop.
 * They must show a write batch no later than when `persisted()` is called.
 */
export interface Storage {
  /** Called once, at the start. */
  initialState(): InitialState;
  /** The first index that `entries` can return. */
  firstIndex(): number;
  /** The last stored index; `firstIndex() - 1` if there is none. */
  lastIndex(): number;
  /** The term of `index`, from `firstIndex() - 1` to `lastIndex()`; undefined elsewhere. */
  term(index: number): number | undefined;
  /**
   * Entries from `lo` up to and without `hi`, cut when they exceed `maxBytes`, but at least one. The caller keeps the
   * array and does not change it. Needs firstIndex() <= lo < hi <= lastIndex() + 1.
   */
  entries(lo: number, hi: number, maxBytes: number): readonly Entry[];
  /**
   * The snapshot that can be sent to `to` now: not older than `firstIndex() - 1`, and `to` is a member in it. Null while
   * none is at hand; the core asks again at the follower's next sign of life, so the caller should be making one.
   */
  snapshot(to: MemberID): SnapshotMeta | null;
}

/** The storage of a member that has never been anything: no log, no members. */
export const EMPTY_CONF_STATE: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  removed: [],
};
