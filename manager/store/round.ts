/**
 * One round of group commit: runs waiting callbacks in order, each atomic and each seeing the ones before,
 * and packs what they wrote into log entries. When it is done the tables are as before; the changes come
 * back when consensus applies the entries.
 */
import { CoveyError } from "../../api/errors.ts";
import { MAX_ENTRY_BYTES } from "../consensus/consensus.ts";
import { encodedWrite, ENTRY_OVERHEAD_BYTES, joinEntry, type Write } from "./entry.ts";
import { MAX_CHANGES_PER_TRANSACTION, type WriteTransaction } from "./store.ts";
import { type Stamp, type TableSet, Transaction, WriteList } from "./transaction.ts";

/** A callback that waits, and where its outcome goes. */
export interface Job {
  callback: (tx: WriteTransaction) => unknown;
  /** The changes are durable and visible. */
  done: (result: unknown) => void;
  /** The callback threw, or wrote too much. */
  refused: (error: unknown) => void;
  /** The commit failed. */
  failed: (error: unknown) => void;
}

/** An entry to propose, and what to tell whom then. Without writes there is nothing to propose. */
export interface Proposal {
  version: number;
  entry: Uint8Array;
  writes: Write[];
  /** Jobs whose outcome hangs on the commit. */
  jobs: { job: Job; result: unknown }[];
  /** Jobs that failed by themselves, given that what they saw is committed. */
  refusals: { job: Job; error: unknown }[];
}

/** Above this, a round takes no further callback: room is left for what the last one writes. */
const FULL_ENTRY_BYTES = MAX_ENTRY_BYTES * 0.75;

/**
 * Runs jobs off the front of `queue` until an entry is full. `nextStamp` is called for each callback.
 * There is a second proposal only if the last callback's writes did not fit into the first.
 */
export function runRound(queue: Job[], tables: TableSet, nextStamp: () => Stamp): Proposal[] {
  const drafts = [new Draft()];
  const transactions: Transaction[] = [];
  let taken = 0;
  while (taken < queue.length) {
    const job = queue[taken++]!;
    const stamp = nextStamp();
    const transaction = new Transaction(tables, stamp);
    const draft = drafts.at(-1)!;
    if (!runJob(job, transaction, stamp.version, drafts)) transaction.rollback();
    transactions.push(transaction);
    if (drafts.at(-1) !== draft || draft.full) break;
  }
  queue.splice(0, taken);
  while (transactions.length > 0) transactions.pop()!.rollback();
  return drafts.map((draft) => draft.proposal());
}

/** Runs one callback into the last draft, or a new one; false if it has to be taken back. */
function runJob(job: Job, transaction: Transaction, version: number, drafts: Draft[]): boolean {
  const draft = drafts.at(-1)!;
  try {
    const result = job.callback(transaction);
    if (result instanceof Promise) {
      throw new TypeError("Cannot run a transaction: its callback is asynchronous");
    }
    let bytes = ENTRY_OVERHEAD_BYTES;
    for (const write of transaction.writes) bytes += encodedWrite(write).length;
    if (bytes > MAX_ENTRY_BYTES) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot commit the transaction: its changes have ${bytes} bytes, more than ${MAX_ENTRY_BYTES}`,
      );
    }
    const target = draft.bytes + bytes > MAX_ENTRY_BYTES ? new Draft() : draft;
    if (target !== draft) drafts.push(target);
    target.add(job, result, version, transaction.writes);
    return true;
  } catch (error) {
    // What it saw may be another callback's undecided write, so the refusal waits with the others.
    draft.refusals.push({ job, error });
    return false;
  } finally {
    transaction.close();
  }
}

/** An entry in the making. */
class Draft {
  bytes = 0;
  #version = 0;
  readonly #writes = new WriteList();
  readonly jobs: Proposal["jobs"] = [];
  readonly refusals: Proposal["refusals"] = [];

  get full(): boolean {
    return this.bytes >= FULL_ENTRY_BYTES || this.#writes.size >= MAX_CHANGES_PER_TRANSACTION;
  }

  add(job: Job, result: unknown, version: number, writes: WriteList): void {
    this.jobs.push({ job, result });
    if (writes.size > 0) this.#version = version;
    for (const write of writes) {
      this.bytes += encodedWrite(write).length;
      this.#writes.add(write);
    }
  }

  proposal(): Proposal {
    const { jobs, refusals } = this;
    const writes = [...this.#writes];
    const entry = joinEntry(this.#version, writes.map(encodedWrite));
    return { version: this.#version, entry, writes, jobs, refusals };
  }
}
