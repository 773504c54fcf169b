/** A store for tests: the real one over a consensus that lives in memory. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Consensus, ConsensusStatus } from "../../manager/consensus/consensus.ts";
import type { DirtyRecord, StateMachine } from "../../manager/consensus/state_machine.ts";
import { createStore, type StoreOptions } from "../../manager/store/memory_store.ts";
import type { Store } from "../../manager/store/store.ts";
import { FakeClock } from "./fake_clock.ts";

/** A consensus of one that keeps nothing, with hooks. */
export interface MemoryConsensus extends Consensus {
  /** Every committed entry, in order. */
  readonly entries: readonly { index: number; entry: Uint8Array }[];
  /** Runs before an entry is committed: throw to fail the proposal, return a promise to delay it. */
  beforeCommit: ((entry: Uint8Array) => void | Promise<void>) | undefined;
  /** False hides `local` from the state machine, as on a member that did not propose. @default true */
  useLocal: boolean;
  /** Takes or gives back leadership; without it, proposals are refused. */
  setLeader(isLeader: boolean): void;
}

/** Makes a {@linkcode MemoryConsensus}; leader from the start. Without `keepEntries`, `entries` stays empty. */
export function memoryConsensus(keepEntries = true): MemoryConsensus {
  return new InMemory(keepEntries);
}

class InMemory implements MemoryConsensus {
  readonly entries: { index: number; entry: Uint8Array }[] = [];
  readonly failed = new Promise<Error>(() => {});
  beforeCommit: ((entry: Uint8Array) => void | Promise<void>) | undefined;
  useLocal = true;
  #machine: StateMachine | undefined;
  #leader = true;
  #term = 1;
  #index = 0;
  readonly #listeners = new Set<(status: ConsensusStatus) => void>();

  constructor(readonly keepEntries: boolean) {}

  start(machine: StateMachine): Promise<void> {
    this.#machine = machine;
    return Promise.resolve();
  }

  async propose(entry: Uint8Array, local?: unknown): Promise<number> {
    if (!this.#leader) throw new CoveyError("unavailable", "Cannot propose: this manager is not the leader");
    const hold = this.beforeCommit?.(entry);
    if (hold !== undefined) await hold;
    const index = ++this.#index;
    if (this.keepEntries) this.entries.push({ index, entry });
    this.#machine?.apply(index, entry, this.useLocal ? local : undefined);
    return index;
  }

  readBarrier(): Promise<void> {
    return Promise.resolve();
  }

  status(): ConsensusStatus {
    const member = {
      memberID: 1,
      nodeID: "node",
      address: "127.0.0.1:2377",
      learner: false,
      reachable: true,
    };
    return {
      isLeader: this.#leader,
      leaderNodeID: this.#leader ? "node" : undefined,
      term: this.#term,
      appliedIndex: this.#index,
      members: [member],
    };
  }

  subscribe(listener: (status: ConsensusStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  setLeader(isLeader: boolean): void {
    if (isLeader && !this.#leader) this.#term++;
    this.#leader = isLeader;
    for (const listener of [...this.#listeners]) listener(this.status());
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

/** A ready store, its consensus and its clock. Written objects are deep-frozen, and entries kept, unless the options say otherwise. */
export function testStore(options: StoreOptions & { clock?: Clock; keepEntries?: boolean } = {}): {
  store: Store & StateMachine;
  consensus: MemoryConsensus;
  clock: Clock;
} {
  const { clock = new FakeClock(), freeze = true, keepEntries } = options;
  const consensus = memoryConsensus(keepEntries);
  const store = createStore(consensus, clock, { freeze });
  consensus.start(store);
  return { store, consensus, clock };
}

/** Replaces the whole state of `machine` by `records`, as of `index`. */
export function restoreFrom(
  machine: Pick<StateMachine, "image">,
  index: number,
  records: Iterable<DirtyRecord>,
): void {
  const image = machine.image();
  for (const record of records) image.add(record);
  image.adopt(index);
}
