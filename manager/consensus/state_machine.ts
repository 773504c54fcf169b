/** What consensus drives: the store behind it. All calls come one after another, in the order of the log. */

/** A stored record of the state machine: `key` is unique, `value` its bytes. */
export interface StateRecord {
  key: string;
  value: Uint8Array;
}

/** What became of a record; without `value`, it was deleted. */
export interface DirtyRecord {
  key: string;
  value: Uint8Array | undefined;
}

/** A state that is put together beside the present one, so that large ones need not come in one step. */
export interface StateImage {
  /** Takes in one record, in place of an earlier one with its key; the bytes are not kept. */
  add(record: DirtyRecord): void;
  /** Replaces the whole state, as of `index`. */
  adopt(index: number): void;
}

/** A deterministic state machine that can tell which of its records changed since it was last asked. */
export interface StateMachine {
  /**
   * Applies one committed entry; applying the same entry again must change nothing. Synchronous: readers
   * see all or nothing of it.
   */
  apply(index: number, entry: Uint8Array, local?: unknown): void;
  /** Why {@linkcode apply} would refuse these bytes; undefined if it would not. */
  unreadable(entry: Uint8Array): Error | undefined;
  /** Begins a new state, which does not count before it is adopted. */
  image(): StateImage;
  /** Every record of the state as it is now, whatever is applied while they are read. */
  records(): Iterable<StateRecord>;
  /**
   * The records changed since the last call, so that a checkpoint writes only what is dirty. If the checkpoint
   * fails, the member stops; so taking them is final.
   */
  takeDirty(): Iterable<DirtyRecord>;
}
