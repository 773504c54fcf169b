/** What the core hands to its caller. */

import type { Message } from "./messages.ts";
import type { ConfState, Entry, HardState, ReadState, SnapshotMeta, SoftState } from "./types.ts";

/** What must be on disk before anything that depends on it leaves the node. See duty 2 in `mod.ts`. */
export interface WriteBatch {
  /** Replaces the whole stored log, if there is one; comes before `entries`. */
  readonly snapshot: SnapshotMeta | null;
  /** Replace everything stored from `entries[0].index` on. */
  readonly entries: readonly Entry[];
  readonly hardState: HardState;
  /** To be sent after the batch is synced: votes, vote requests and append responses. */
  readonly messages: readonly Message[];
}

/** Everything the caller has to do now. */
export interface Ready {
  /** To be sent at once, in order for each receiver; any of them may get lost. */
  readonly messages: readonly Message[];
  /** At most one is out at any time; answered by `persisted()`. */
  readonly write: WriteBatch | null;
  /** Committed and stored, to be applied in order; at most one batch is out, answered by `applied()`. */
  readonly committed: readonly Entry[];
  /** The membership after `committed`, if they changed it: to be stored with the applied index. */
  readonly confState: ConfState | null;
  readonly reads: readonly ReadState[];
  /** Reads that will never be answered, because leadership changed. */
  readonly lostReads: readonly number[];
  /** If it changed since the last one. */
  readonly softState: SoftState | null;
}
