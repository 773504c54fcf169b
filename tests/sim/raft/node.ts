import {
  bootstrap,
  DEFAULT_RAFT_CONFIG,
  type Entry,
  MemoryStorage,
  type Message,
  type RaftConfig,
  RawNode,
  type Ready,
  type WriteBatch,
} from "../../../manager/raft/mod.ts";
import type { RaftState } from "../../../manager/raft/state.ts";
import type { Checker } from "./checker.ts";
import type { EventQueue } from "./event_queue.ts";
import type { SeededRandom } from "./random.ts";

/** Bugs to be put in on purpose, to see whether the simulator finds them. */
export interface Faults {
  /** Called with the state of every new incarnation; replaces rules. */
  breakCore?: (raft: RaftState) => void;
  /** Changes what reaches the disk. */
  breakDisk?: (batch: WriteBatch) => WriteBatch;
}

/** What a node needs from its surroundings. */
export interface World {
  readonly queue: EventQueue;
  readonly random: SeededRandom;
  readonly checker: Checker;
  readonly faults: Faults;
  /** Whether members ask before they campaign: never, always or each as it likes. */
  readonly preVote: "off" | "on" | "mixed";
  readonly checkQuorum: boolean;
  send(message: Message): void;
  /** `node` has just become leader. */
  onLeader(node: SimNode): void;
  /** `node` has just stored a vote for another. */
  onVote(node: SimNode): void;
}

/** One member with its disk: a driver in miniature, which fulfils the duties listed in the core's `mod.ts`. */
export class SimNode {
  readonly storage = new MemoryStorage();
  /** Null while it is down. */
  raw: RawNode | null = null;
  pausedUntil = 0;
  diskMs = 1;
  applied = 0;
  #incarnation = 0;
  #writing: WriteBatch | null = null;
  #seenCommit = 0;
  #proposals = new Map<number, number>();
  #reads = new Map<number, number>();
  /** Applied since the last checkpoint, as the membership after it. */
  #confState;

  constructor(readonly id: number, private readonly world: World, voters: readonly number[]) {
    if (voters.length > 0) this.storage.write(bootstrap(voters));
    this.#confState = this.storage.initialState().confState;
  }

  /** The core's inside, for checks and faults only. */
  get raft(): RaftState | null {
    return this.raw && this.raw["raft"];
  }

  get isLeader(): boolean {
    return this.raft?.role === "leader";
  }

  get canAct(): boolean {
    return this.raw !== null && this.world.queue.now >= this.pausedUntil;
  }

  start(): void {
    if (this.raw) return;
    const { random, faults, queue } = this.world;
    const config: RaftConfig = {
      ...DEFAULT_RAFT_CONFIG,
      id: this.id,
      checkQuorum: this.world.checkQuorum,
      preVote: this.world.preVote === "mixed" ? random.chance(0.5) : this.world.preVote === "on",
      random: random.next,
      maxMessageBytes: random.pick([0, 100]),
      maxInflightMessages: 4,
      maxInflightBytes: 400,
      maxEntryBytes: 300,
      maxUncommittedBytes: 2000,
      maxCommittedBytes: 200,
      maxPromotionLag: 5,
    };
    this.raw = new RawNode(config, this.storage);
    faults.breakCore?.(this.raw["raft"]);
    const initial = this.storage.initialState();
    this.applied = initial.applied;
    this.#confState = initial.confState;
    this.#seenCommit = initial.applied;
    const incarnation = ++this.#incarnation;
    const period = 92 + random.next() * 16;
    const tick = () => {
      if (incarnation !== this.#incarnation) return;
      queue.after(period, tick);
      this.act((raw) => raw.tick());
    };
    queue.after(random.next() * period, tick);
    this.pump();
  }

  /** Power off: what was not synced is lost, or, as far as anybody can know, not. */
  crash(): void {
    if (!this.raw) return;
    this.raw = null;
    this.#incarnation++;
    this.#proposals.clear();
    this.#reads.clear();
    if (this.#writing && this.world.random.chance(0.5)) this.#store(this.#writing);
    this.#writing = null;
  }

  /** Does something with the running core, and all that follows from it. While paused, it is put off. */
  act(run: (raw: RawNode) => void): void {
    if (!this.raw) return;
    const { queue } = this.world;
    if (queue.now < this.pausedUntil) {
      const incarnation = this.#incarnation;
      return queue.after(this.pausedUntil - queue.now, () => {
        if (incarnation === this.#incarnation) this.act(run);
      });
    }
    run(this.raw);
    this.pump();
  }

  propose(data: Uint8Array): void {
    this.act((raw) => {
      const result = raw.propose([data]);
      if (result.ok) this.#proposals.set(result.index, result.term);
    });
  }

  read(): void {
    const before = this.world.checker.acknowledged;
    this.act((raw) => {
      const result = raw.readIndex();
      if (result.ok) this.#reads.set(result.id, before);
    });
  }

  /** Stores what is applied, and drops the log before it but for a few entries. */
  checkpoint(keep: number): void {
    if (!this.raw) return;
    this.storage.checkpoint(this.applied, this.#confState);
    if (this.applied >= this.storage.firstIndex()) this.storage.offerSnapshot();
    this.storage.compact(this.applied - keep);
  }

  pump(): void {
    while (this.raw?.hasReady()) {
      this.#check();
      this.#process(this.raw.ready());
    }
    this.#check();
  }

  #process(ready: Ready): void {
    const { checker } = this.world;
    for (const message of ready.messages) this.world.send(message);
    if (ready.write) this.#startWrite(ready.write);
    for (const { id, index } of ready.reads) {
      const before = this.#reads.get(id);
      if (before !== undefined) checker.reads(this.id, index, before);
      this.#reads.delete(id);
    }
    for (const id of ready.lostReads) this.#reads.delete(id);
    if (ready.softState?.role === "leader") this.world.onLeader(this);
    if (ready.softState && ready.softState.role !== "leader") this.#proposals.clear();
    if (ready.committed.length > 0) this.#apply(ready);
  }

  #apply(ready: Ready): void {
    const { checker } = this.world;
    checker.applies(this.id, ready.committed, this.applied);
    const last = ready.committed.at(-1)!;
    this.applied = last.index;
    if (ready.confState) this.#confState = ready.confState;
    for (const { index, term } of ready.committed) {
      if (this.#proposals.get(index) === term) checker.acknowledges(index, term);
      this.#proposals.delete(index);
    }
    this.raw!.applied(last.index);
  }

  #startWrite(batch: WriteBatch): void {
    const { queue, random, checker } = this.world;
    const incarnation = this.#incarnation;
    const first = batch.entries[0];
    if (first) checker.writes(this.id, batch.entries, this.raft!.log.term(first.index - 1) ?? NaN);
    this.#writing = batch;
    queue.after(this.diskMs * (0.5 + random.next()), () => {
      if (incarnation !== this.#incarnation) return;
      this.act((raw) => {
        this.#store(batch);
        this.#writing = null;
        raw.persisted();
        for (const message of batch.messages) this.world.send(message);
        const { vote } = batch.hardState;
        if (vote !== 0 && vote !== this.id && batch.entries.length === 0) this.world.onVote(this);
      });
    });
  }

  #store(batch: WriteBatch): void {
    this.storage.write(this.world.faults.breakDisk?.(batch) ?? batch);
    if (!batch.snapshot) return;
    this.applied = batch.snapshot.index;
    this.#confState = batch.snapshot.confState;
  }

  #check(): void {
    const { raft } = this;
    if (!raft) return;
    const { checker } = this.world;
    if (raft.role === "leader") checker.leads(this.id, raft);
    const { committed, firstIndex } = raft.log;
    if (committed <= this.#seenCommit) return;
    const from = Math.max(this.#seenCommit + 1, firstIndex);
    const entries: readonly Entry[] = from <= committed
      ? raft.log.entries(from, Infinity, committed + 1)
      : [];
    checker.commits(this.id, raft.term, entries);
    this.#seenCommit = committed;
  }
}
