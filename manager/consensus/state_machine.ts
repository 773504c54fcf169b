/** What consensus drives: the store behind it. All calls come one after another, in the order of the log. */

/** A stored record of the state machine: `key` is unique, `value` its bytes. */
export interface StateRecord {
  key: string;
  value: Uint8Array;
}

/** A state that is put together beside the present one, so that large ones need not come in one step. */
export interface StateImage {
  /** Takes in one record; the bytes are not kept. */
  add(record: StateRecord): void;
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
  /** Begins a new state, which does not count before it is adopted. */
  image(): StateImage;
  /** Every record of the state as it is now, whatever is applied while they are read. */
  records(): Iterable<StateRecord>;
  /**
   * The records changed since the last call (`value` undefined: deleted), so that a checkpoint writes only
   * what is dirty. If the checkpoint fails, the member stops; so taking them is final.
   */
  takeDirty(): Iterable<{ key: string; value: Uint8Array | undefined }>;
}

/** Replaces the whole state by `records`, as of `index`, in one step. */
export function restoreFrom(
  machine: Pick<StateMachine, "image">,
  index: number,
  records: Iterable<StateRecord>,
): void {
  const image = machine.image();
  for (const record of records) image.add(record);
  image.adopt(index);
}

/** `records` as they are; each that is taken goes into `image` too. */
export function* readInto(image: StateImage, records: Iterable<StateRecord>): Iterable<StateRecord> {
  for (const record of records) {
    image.add(record);
    yield record;
  }
}
