/**
 * The state store's interface (SwarmKit `manager/state/store`): typed tables in memory, read at any time,
 * written by one writer through consensus, watched as ordered commits. Objects are immutable: read them
 * freely, never change them in place.
 */
import type { Indexes, TableName, Tables } from "./tables.ts";

/** Synchronous reads. Within one turn of the event loop, all reads see the same state. */
export interface ReadView {
  get<T extends TableName>(table: T, id: string): Tables[T] | undefined;
  /** All objects of a table in the order of creation. */
  all<T extends TableName>(table: T): Tables[T][];
  count(table: TableName): number;
  /** All objects whose index has `key`, in the order of creation. Costs the size of the result. */
  find<T extends TableName>(table: T, index: Indexes[T], key: string): Tables[T][];
}

/**
 * Reads that see the transaction's own writes, and writes.
 *
 * All objects that a transaction writes get the same `Version.Index`: one above the highest that was ever
 * given out, and above the consensus index. So it differs between any two transactions, even where they
 * share a commit, and runs ahead of the index.
 */
export interface WriteTransaction extends ReadView {
  /**
   * Throws `already_exists` for an ID or (case-folded) name in use. Stamps Version, CreatedAt and
   * UpdatedAt.
   */
  create<T extends TableName>(table: T, object: Tables[T]): void;
  /**
   * Throws `not_found`, or `aborted` ("update out of sequence") if `object.Version` is not the stored one.
   * Stamps Version and UpdatedAt.
   */
  update<T extends TableName>(table: T, object: Tables[T]): void;
  /** Throws `not_found`. */
  delete(table: TableName, id: string): void;
}

/**
 * One change of a commit. `old` is the object before, for update and remove (where `object` is the same as
 * `old`).
 */
export type Change = {
  [T in TableName]: { action: "create" | "update" | "remove"; table: T; object: Tables[T]; old?: Tables[T] };
}[TableName];

/** All changes that became visible together. `index` is the consensus index. */
export interface Commit {
  index: number;
  changes: Change[];
}

/** The store. */
export interface Store extends ReadView {
  /**
   * Runs `callback` as a transaction; resolves with its result once the changes are durable and visible. A
   * throwing callback changes nothing and rejects with what it threw. Callbacks are synchronous, run one
   * after another, see everything committed before, and may be committed together with others. Rejects as
   * `Consensus.propose` does if the commit fails. A callback that writes nothing costs no commit.
   */
  update<R>(callback: (tx: WriteTransaction) => R): Promise<R>;
  /**
   * Applies `items` in as few transactions as limits allow, each item atomically, in order. An item whose
   * callback throws is skipped and reported; the others go on.
   */
  batch<I>(
    items: Iterable<I>,
    callback: (tx: WriteTransaction, item: I) => void,
  ): Promise<{ item: I; error: Error }[]>;
  /**
   * Calls `listener` synchronously with each commit, in order, after it is visible. Subscribing and reading
   * in the same turn misses nothing and sees nothing twice. A throwing listener is a bug and stops the
   * manager.
   */
  subscribe(listener: (commit: Commit) => void): () => void;
  /** The consensus index of the last visible commit. */
  readonly index: number;
}

/** Changes in one transaction of a batch (SwarmKit `MaxChangesPerTransaction`). */
export const MAX_CHANGES_PER_TRANSACTION = 200;
