import {
  bootstrap,
  DEFAULT_RAFT_CONFIG,
  MemoryStorage,
  type Message,
  type RaftConfig,
  RawNode,
  type Ready,
  type WriteBatch,
} from "../../../../manager/raft/mod.ts";
import { describeMessage, describeReady, describeWrite } from "./describe.ts";

/** One member in a {@linkcode Cluster}. */
export interface Member {
  readonly id: number;
  readonly config: RaftConfig;
  storage: MemoryStorage;
  raw: RawNode | null;
  /** The batch that is being written, while the disk is held. */
  writing: WriteBatch | null;
  diskHeld: boolean;
  /** What is applied is not stored. */
  checkpointHeld: boolean;
  applied: number;
}

/** A log for a member to start with: the term of each entry after the bootstrap entry 1, and what is committed. */
export interface Start {
  readonly terms: readonly number[];
  readonly commit?: number;
  readonly term?: number;
}

/** `n` of at least 5 ticks: member 1 times out first, 2 a tick later, and so on. */
function steadyRandom(id: number): () => number {
  return () => ((id - 1) % 5) / 5;
}

/** A config for tests: small limits, election timeouts in order of the ids. */
export function testConfig(id: number, options: Partial<RaftConfig> = {}): RaftConfig {
  return { ...DEFAULT_RAFT_CONFIG, id, random: steadyRandom(id), ...options };
}

/** The storage of a member of a cluster of `voters` that has the log of `start`. */
export function storageWith(voters: readonly number[], start: Start = { terms: [] }): MemoryStorage {
  const storage = new MemoryStorage();
  storage.write(bootstrap(voters));
  const data = (term: number, index: number) => new TextEncoder().encode(`${index}.${term}`);
  const entries = start.terms.map((term, i) => ({
    index: i + 2,
    term,
    type: "normal" as const,
    data: data(term, i + 2),
  }));
  const term = start.term ?? start.terms.at(-1) ?? 1;
  const hardState = { term, vote: 0, commit: start.commit ?? 1 };
  storage.write({ snapshot: null, entries, hardState, messages: [] });
  return storage;
}

/** Members, their disks and a network without time; writes down what happens. */
export class Cluster {
  readonly members = new Map<number, Member>();
  readonly lines: string[] = [];
  /** Messages that were sent and not delivered, in order. */
  queue: Message[] = [];
  readonly #cut = new Set<string>();

  add(id: number, storage: MemoryStorage, options: Partial<RaftConfig> = {}): Member {
    const config = testConfig(id, options);
    const raw = new RawNode(config, storage);
    const { applied } = storage.initialState();
    const member: Member = {
      id,
      config,
      storage,
      raw,
      writing: null,
      diskHeld: false,
      checkpointHeld: false,
      applied,
    };
    this.members.set(id, member);
    return member;
  }

  /** A running member. */
  raw(id: number): RawNode {
    const raw = this.members.get(id)?.raw;
    if (!raw) throw new Error(`Cannot use member ${id}: it does not run`);
    return raw;
  }

  member(id: number): Member {
    const member = this.members.get(id);
    if (!member) throw new Error(`Cannot find member ${id}`);
    return member;
  }

  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
  }

  mend(): void {
    this.#cut.clear();
  }

  crash(id: number): void {
    const member = this.member(id);
    member.raw = member.writing = null;
  }

  restart(id: number): void {
    const member = this.member(id);
    member.applied = member.storage.initialState().applied;
    member.raw = new RawNode(member.config, member.storage);
  }

  /** Does everything that one member's core asks for. Returns whether there was something. */
  process(id: number): boolean {
    const member = this.member(id);
    if (!member.raw?.hasReady()) return false;
    const ready = member.raw.ready();
    this.lines.push(...describeReady(id, ready));
    this.#send(ready.messages);
    if (ready.write) {
      member.writing = ready.write;
      if (!member.diskHeld) this.persist(id);
    }
    this.#apply(member, ready);
    return true;
  }

  /** The write of `id` is done. */
  persist(id: number): void {
    const member = this.member(id);
    const { writing, raw } = member;
    if (!writing || !raw) return;
    this.lines.push(describeWrite(id, writing));
    member.storage.write(writing);
    member.writing = null;
    if (writing.snapshot) member.applied = writing.snapshot.index;
    raw.persisted();
    this.#send(writing.messages);
  }

  /** Delivers all messages that are on their way to one of `ids`. Returns whether there were some. */
  deliver(ids: readonly number[]): boolean {
    const now = this.queue.filter(({ to }) => ids.includes(to));
    this.queue = this.queue.filter(({ to }) => !ids.includes(to));
    for (const message of now) {
      const raw = this.members.get(message.to)?.raw;
      const outcome = raw ? raw.step(message) : "down";
      if (outcome !== "stepped") this.lines.push(`${message.to}: ${outcome} (${describeMessage(message)})`);
      if (message.type === "snapshot" && raw) {
        this.members.get(message.from)?.raw?.reportSnapshot(message.to, true);
      }
    }
    return now.length > 0;
  }

  /** Until nothing happens any more among `ids`; no time passes. */
  stabilize(ids: readonly number[] = [...this.members.keys()]): void {
    for (let round = 0; round < 1000; round++) {
      let busy = false;
      for (const id of ids) while (this.process(id)) busy = true;
      if (this.deliver(ids)) busy = true;
      if (!busy) return;
    }
    throw new Error("Cannot stabilize: 1000 rounds were not enough");
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      const lost = this.#cut.has(`${message.from}>${message.to}`) || this.#cut.has(`${message.from}>*`);
      this.lines.push(describeMessage(message) + (lost ? " (lost)" : ""));
      if (!lost) this.queue.push(message);
    }
  }

  #apply(member: Member, { committed, confState }: Ready): void {
    const last = committed.at(-1);
    if (!last) return;
    member.applied = last.index;
    if (!member.checkpointHeld) {
      member.storage.checkpoint(last.index, confState ?? member.storage.initialState().confState);
    }
    member.raw!.applied(last.index);
  }
}
