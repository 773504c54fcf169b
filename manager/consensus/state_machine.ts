/** What consensus drives: the store behind it. All calls come one after another, in the order of the log. */

/** A stored record of the state machine: `key` is unique, `value` its bytes. */
export interface StateRecord {
  key: string;
  value: Uint8Array;
}

/** A deterministic state machine that can tell which of its records changed since it was last asked. */
export interface StateMachine {
  /**
   * Applies one committed entry; applying the same entry again must change nothing. Synchronous: readers
   * see all or nothing of it.
   */
  apply(index: number, entry: Uint8Array, local?: unknown): void;
  /** Replaces the whole state by `records`, as of `index`. */
  restore(index: number, records: Iterable<StateRecord>): void;
  /** Every record of the state as it is now, whatever is applied while they are read. */
  records(): Iterable<StateRecord>;
  /**
   * The records changed since the last call (`value` undefined: deleted), so that a checkpoint writes only
   * what is dirty. If the checkpoint fails, the member stops; so taking them is final.
   */
  takeDirty(): Iterable<{ key: string; value: Uint8Array | undefined }>;
}
