/**
 * The state store's interface (SwarmKit `manager/state/store`): typed tables in memory, read at any time,
 * written by one writer through consensus, watched as ordered commits. Objects are immutable: read them
 * freely, never change them in place.
 */
import { CoveyError } from "../../api/errors.ts";
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
   * Applies `items` in as few transactions as limits allow, each item atomically, in order; one that fails does not keep
   * the others from their turn. Rejects, once all had it, with the first error if any item is not known to be committed.
   */
  batch<I>(items: Iterable<I>, callback: (tx: WriteTransaction, item: I) => unknown): Promise<void>;
  /**
   * The same for who treats each item by itself: `settle` is told what became of it, with what its callback returned. All
   * that is to be remembered about an item belongs there: a callback may run, and its writes be refused. Resolves when
   * every item is settled; rejects only with what `settle` throws.
   */
  batch<I, R>(
    items: Iterable<I>,
    callback: (tx: WriteTransaction, item: I) => R,
    settle: (item: I, outcome: ItemOutcome<R>) => void,
  ): Promise<void>;
  /**
   * Calls `listener` synchronously with each commit, in order, after it is visible. Subscribing and reading in the same
   * turn misses nothing and sees nothing twice. What a listener throws is logged under `name` and keeps neither the
   * commit nor other listeners from going on; a listener that must not miss a commit catches for itself.
   */
  subscribe(listener: (commit: Commit) => void, name?: string): () => void;
  /** The consensus index of the last visible commit. */
  readonly index: number;
}

/** What became of one item of a batch: its writes are durable and visible, or not known to be. */
export type ItemOutcome<R> = { committed: true; value: R } | { committed: false; error: CoveyError };

/**
 * True if `error` says that a commit failed, so that the same write can succeed later; false if the object or the code that
 * handles it is at fault. Of code `unknown`, the write may even have succeeded.
 */
export function isCommitFailure(error: unknown): boolean {
  return error instanceof CoveyError && (error.retryable || error.code === "unknown");
}

/** Changes in one transaction of a batch (SwarmKit `MaxChangesPerTransaction`). */
export const MAX_CHANGES_PER_TRANSACTION = 200;
