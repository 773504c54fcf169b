/**
 * The store: tables in memory, written through consensus in rounds of group commit, and the state machine
 * behind it.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Meta } from "../../api/objects.ts";
import type { Consensus } from "../consensus/consensus.ts";
import { notLeading } from "../consensus/not_leading.ts";
import type { DirtyRecord, StateImage, StateMachine, StateRecord } from "../consensus/state_machine.ts";
import { INDEXES } from "./indexes.ts";
import { type Job, type Proposal, runRound } from "./round.ts";
import { State } from "./state.ts";
import type { Commit, ItemOutcome, Store, WriteTransaction } from "./store.ts";
import { MAX_CHANGES_PER_TRANSACTION } from "./store.ts";
import { Table } from "./table.ts";
import type { Indexes, TableName, Tables } from "./tables.ts";
import type { TableSet } from "./transaction.ts";

/** Options of {@linkcode createStore}. */
export interface StoreOptions {
  /**
   * Deep-freezes every written object, to find code that changes what it read. Costs time; for tests.
   * @default false
   */
  freeze?: boolean;
}

/**
 * After a round with several callbacks, the next one waits for as many to come again: at most as long as the last took,
 * and this long, in milliseconds. Clients that were answered together ask again together; without the wait the first of
 * them would have a round, and a commit on every member, to itself.
 */
const MAX_GATHER_MS = 5;

/** Callbacks that may wait for their round; beyond, `update` rejects with `resource_exhausted`. */
const MAX_WAITING_UPDATES = 100_000;

/** A store that writes through `consensus`, which is to be started with the store as its state machine. */
export function createStore(
  consensus: Consensus,
  clock: Clock,
  options: StoreOptions = {},
): Store & StateMachine {
  return new MemoryStore(consensus, clock, options);
}

const logger = getLogger(["covey", "store"]);

class MemoryStore implements Store, StateMachine {
  readonly #consensus: Consensus;
  readonly #clock: Clock;
  readonly #seal: (object: Meta) => void;
  readonly #tables: TableSet = newTables();
  readonly #state = new State(this.#tables);
  readonly #listeners = new Set<{ listener: (commit: Commit) => void; name: string }>();
  readonly #queue: Job[] = [];
  #draining = false;
  /** Callbacks in the last round, and until when the next one waits for as many. */
  #lastRound = { jobs: 0, gatherUntil: 0 };
  #cancelGather: CancelTimer | undefined;
  /** Highest `Version.Index` given out by this process. */
  #version = 0;

  constructor(consensus: Consensus, clock: Clock, options: StoreOptions) {
    this.#consensus = consensus;
    this.#clock = clock;
    this.#seal = options.freeze ? deepFreeze : () => {};
  }

  get index(): number {
    return this.#state.index;
  }

  get<T extends TableName>(table: T, id: string): Tables[T] | undefined {
    return this.#tables[table].get(id);
  }

  all<T extends TableName>(table: T): Tables[T][] {
    return this.#tables[table].all();
  }

  count(table: TableName): number {
    return this.#tables[table].count;
  }

  find<T extends TableName>(table: T, index: Indexes[T], key: string): Tables[T][] {
    return this.#tables[table].find(index, key);
  }

  subscribe(listener: (commit: Commit) => void, name = "a watcher"): () => void {
    const own = { listener, name };
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  update<R>(callback: (tx: WriteTransaction) => R): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      if (this.#queue.length >= MAX_WAITING_UPDATES) {
        throw new CoveyError(
          "resource_exhausted",
          `Cannot queue the transaction: ${this.#queue.length} are waiting already`,
          { retryable: true },
        );
      }
      this.#enqueue({
        callback,
        done: (result) => resolve(result as R),
        refused: reject,
        failed: reject,
      });
    });
  }

  async batch<I, R>(
    items: Iterable<I>,
    callback: (tx: WriteTransaction, item: I) => R,
    settle?: (item: I, outcome: ItemOutcome<R>) => void,
  ): Promise<void> {
    let failure: CoveyError | undefined;
    const consume = settle ?? ((_, outcome) => {
      if (!outcome.committed) failure ??= outcome.error;
    });
    let window: I[] = [];
    const settleWindow = async () => {
      const outcomes = await this.#runItems(window, callback);
      for (const [i, outcome] of outcomes.entries()) consume(window[i]!, outcome);
      window = [];
    };
    for (const item of items) {
      window.push(item);
      if (window.length === MAX_CHANGES_PER_TRANSACTION) await settleWindow();
    }
    if (window.length > 0) await settleWindow();
    if (failure) throw failure;
  }

  apply(index: number, entry: Uint8Array, local?: unknown): void {
    this.#publish(this.#state.apply(index, entry, local));
  }

  unreadable(entry: Uint8Array): Error | undefined {
    return this.#state.unreadable(entry);
  }

  image(): StateImage {
    const draft = this.#state.draft(newTables());
    return {
      add: (record) => draft.add(record),
      adopt: (index) => this.#publish(draft.adopt(index, this.#listeners.size > 0)),
    };
  }

  records(): Iterable<StateRecord> {
    return this.#state.records();
  }

  takeDirty(): Iterable<DirtyRecord> {
    return this.#state.takeDirty();
  }

  /** A commit without changes tells nobody anything. */
  #publish(commit: Commit): void {
    this.#version = Math.max(this.#version, this.#state.version);
    if (commit.changes.length === 0) return;
    for (const own of [...this.#listeners]) {
      if (!this.#listeners.has(own)) continue;
      try {
        own.listener(commit);
      } catch (error) {
        logger.error("{name} failed at commit {index}: {error}", {
          name: own.name,
          index: commit.index,
          error,
        });
      }
    }
  }

  #runItems<I, R>(
    items: readonly I[],
    callback: (tx: WriteTransaction, item: I) => R,
  ): Promise<ItemOutcome<R>[]> {
    return new Promise((resolve) => {
      const outcomes: ItemOutcome<R>[] = new Array(items.length);
      let left = items.length;
      const settle = (nth: number, outcome: ItemOutcome<R>) => {
        outcomes[nth] = outcome;
        if (--left === 0) resolve(outcomes);
      };
      for (let nth = 0; nth < items.length; nth++) {
        this.#enqueue(new ItemJob(items[nth]!, nth, callback, settle));
      }
    });
  }

  #enqueue(job: Job): void {
    this.#queue.push(job);
    if (!this.#draining) this.#startRound();
  }

  /** Starts the next round, now or when enough callbacks have come for it. */
  #startRound(): void {
    const waitMs = this.#gatherWait();
    if (waitMs > 0) {
      this.#cancelGather ??= this.#clock.setTimer(waitMs, () => this.#drainSoon());
    } else this.#drainSoon();
  }

  #gatherWait(): number {
    const { jobs, gatherUntil } = this.#lastRound;
    return this.#queue.length >= jobs ? 0 : gatherUntil - this.#clock.monotonic();
  }

  #drainSoon(): void {
    this.#cancelGather?.();
    this.#cancelGather = undefined;
    this.#draining = true;
    // Not at once, so that what is written in the same turn shares a commit.
    queueMicrotask(() => void this.#drain());
  }

  async #drain(): Promise<void> {
    do {
      if (this.#consensus.status().isLeader) await this.#runRound();
      else this.#refuseAll();
    } while (this.#queue.length > 0 && this.#gatherWait() <= 0);
    this.#draining = false;
    if (this.#queue.length > 0) this.#startRound();
  }

  async #runRound(): Promise<void> {
    const start = this.#clock.monotonic();
    const proposals = this.#round();
    await this.#commit(proposals);
    const end = this.#clock.monotonic();
    this.#lastRound = {
      jobs: proposals.reduce((sum, { jobs, refusals }) => sum + jobs.length + refusals.length, 0),
      gatherUntil: end + Math.min(end - start, MAX_GATHER_MS),
    };
  }

  #round(): Proposal[] {
    const time = timestamp(this.#clock);
    const nextStamp = () => {
      this.#version = Math.max(this.#version, this.index) + 1;
      return { version: this.#version, time, seal: this.#seal };
    };
    return runRound(this.#queue, this.#tables, nextStamp);
  }

  async #commit(proposals: Proposal[]): Promise<void> {
    let expected = this.index;
    for (const [nth, proposal] of proposals.entries()) {
      try {
        if (proposal.writes.length > 0) {
          if (this.index !== expected) {
            throw new CoveyError("aborted", "Cannot commit the transaction: others wrote in between", {
              retryable: true,
            });
          }
          expected = await this.#consensus.propose(proposal.entry, proposal);
        } else {
          // A leader that was deposed unawares would refuse, or answer, by old state.
          await this.#consensus.readBarrier();
        }
      } catch (failure) {
        for (const { refusals, jobs } of proposals.slice(nth)) {
          for (const { job } of refusals) job.failed(unjudged(failure));
          for (const { job } of jobs) job.failed(failure);
        }
        return;
      }
      for (const { job, error } of proposal.refusals) job.refused(error);
      for (const { job, result } of proposal.jobs) job.done(result);
    }
  }

  /** A follower's state may be old, so callbacks are not even run on it. */
  #refuseAll(): void {
    const error = notLeading("commit the transaction", "this manager is not the leader");
    for (const job of this.#queue.splice(0)) job.failed(error);
  }
}

/** One item of a batch. A class, because there may be millions of them: one object each instead of five functions. */
class ItemJob<I, R> implements Job {
  constructor(
    readonly item: I,
    readonly nth: number,
    readonly work: (tx: WriteTransaction, item: I) => R,
    readonly settle: (nth: number, outcome: ItemOutcome<R>) => void,
  ) {}

  callback(tx: WriteTransaction): R {
    return this.work(tx, this.item);
  }

  done(value: unknown): void {
    this.settle(this.nth, { committed: true, value: value as R });
  }

  refused(error: unknown): void {
    this.settle(this.nth, { committed: false, error: CoveyError.from(error) });
  }

  failed(error: unknown): void {
    this.settle(this.nth, { committed: false, error: CoveyError.from(error, "unavailable") });
  }
}

function newTables(): TableSet {
  return {
    clusters: new Table(INDEXES.clusters),
    nodes: new Table(INDEXES.nodes),
    services: new Table(INDEXES.services),
    tasks: new Table(INDEXES.tasks),
    secrets: new Table(INDEXES.secrets),
    configs: new Table(INDEXES.configs),
    variables: new Table(INDEXES.variables),
    seals: new Table(INDEXES.seals),
    networks: new Table(INDEXES.networks),
  };
}

/** A refusal may rest on what was then not committed, so it is none; what is certain is that nothing was written for it. */
function unjudged(cause: unknown): CoveyError {
  const { message, reason } = CoveyError.from(cause);
  return new CoveyError(
    "unavailable",
    `Cannot commit the transaction: what it rests on was not committed: ${message}`,
    { cause, reason: reason === "not_leading" ? reason : undefined },
  );
}

function deepFreeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) {
    return;
  }
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
}
