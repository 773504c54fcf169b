/** Managers on virtual time: an in-memory network, disks that survive their users, and everything else as in production. */
import { CoveyError } from "../../../../api/errors.ts";
import { RAFT_METHODS } from "../../../../api/raft.ts";
import type { Random } from "../../../../api/random.ts";
import { withdrawMethod } from "../../../../manager/roles/withdrawal.ts";
import { RaftMember, type RaftMemberOptions } from "../../../../manager/consensus/member/mod.ts";
import { createStore, type Store } from "../../../../manager/store/mod.ts";
import { createRouter, type Dialer, type Listener, memoryNetwork } from "../../../../transport/mod.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { identityOf } from "../../../support/transport.ts";
import { service } from "../../store/objects.ts";
import { MemoryDisk } from "./memory_disk.ts";

/** A running member. */
export interface Running {
  member: RaftMember;
  store: Store;
  listener: Listener;
  /** Lets nothing of this run out any more. */
  silence: () => void;
}

/** Longest virtual wait. */
const LIMIT_MS = 60_000;
/** A little longer than entries are kept for a silent member. */
const FORGET_MS = 31_000;
/** Virtual time between two looks. */
const STEP_MS = 50;

/** A quorum of such managers. They are named by their node IDs, which are their hosts too. */
export class MemoryQuorum {
  readonly clock = new FakeClock();
  readonly network = memoryNetwork();
  readonly disks = new Map<string, MemoryDisk>();
  readonly running = new Map<string, Running>();
  /** Sees each store before it is used. */
  onStore: (id: string, store: Store) => void = () => {};
  readonly #seed: number;
  #randoms = 0;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  /** Starts a member on its disk; `m1` on an empty one starts the cluster, the others wait to be added. */
  async start(id: string, options: Partial<RaftMemberOptions> = {}): Promise<Running> {
    const { clock, network } = this;
    const disk = this.disks.get(id) ?? new MemoryDisk();
    this.disks.set(id, disk);
    const identity = () => identityOf(id, "swarm-manager");
    const address = `${id}:2377`;
    const dialer = mortal(network.dialer({ host: id, identity, clock }));
    const member = await RaftMember.openOnDisk(disk.open(), {
      nodeID: id,
      address,
      clock,
      random: seeded(this.#seed * 1000 + this.#randoms++),
      dialer: dialer.dialer,
      join: id !== "m1",
      ...options,
    });
    const store = createStore(member, clock);
    this.onStore(id, store);
    const router = createRouter();
    for (const [name, method] of Object.entries(member.methods())) router.register(name, method);
    router.register(RAFT_METHODS.withdraw, withdrawMethod(member, store));
    const listener = await network.listen({ listen: options.address ?? address, identity, router, clock });
    const running = { member, store, listener, silence: dialer.end };
    this.running.set(id, running);
    await this.settle(member.start(store));
    return running;
  }

  /** Starts a member and has it added. */
  async join(id: string, options: Partial<RaftMemberOptions> = {}): Promise<Running> {
    const running = await this.start(id, options);
    const through = [...this.running.keys()].filter((other) => other !== id);
    await this.settle(running.member.join(through.map((other) => `${other}:2377`)));
    return running;
  }

  /** Three members. */
  static async ofThree(options: Partial<RaftMemberOptions> = {}, seed = 1): Promise<MemoryQuorum> {
    const quorum = new MemoryQuorum(seed);
    await quorum.start("m1", options);
    await quorum.join("m2", options);
    await quorum.join("m3", options);
    return quorum;
  }

  /** The power of one member goes: its disk keeps what was committed, its connections are reset. */
  async kill(id: string): Promise<void> {
    const { member, listener, silence } = this.running.get(id)!;
    this.running.delete(id);
    this.disks.get(id)!.unplug();
    silence();
    const closed = listener.close();
    this.network.resetHost(id);
    // What is left of it in this process reaches nobody, and is not waited for.
    member.stop().catch(() => {});
    await this.settle(closed);
  }

  /** Resolves with the result of `work`, moving time forward meanwhile. */
  async settle<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const finished = work.finally(() => done = true);
    finished.catch(() => {});
    for (let waited = 0; waited < LIMIT_MS; waited += STEP_MS) {
      if (done) return await finished;
      await this.clock.advance(STEP_MS);
    }
    throw new Error("waited in vain for a promise");
  }

  /** Moves time forward until `done` says yes; returns the milliseconds it took. */
  async until(what: string, done: () => boolean): Promise<number> {
    for (let waited = 0; waited < LIMIT_MS; waited += STEP_MS) {
      if (done()) return waited;
      await this.clock.advance(STEP_MS);
    }
    throw new Error(`waited in vain until ${what}`);
  }

  /** Waits until the leader keeps no entries any more for those who are away. */
  async forget(): Promise<void> {
    await this.clock.advance(FORGET_MS);
  }

  get leader(): string | undefined {
    return [...this.running].find(([, { member }]) => member.status().isLeader)?.[0];
  }

  /** Waits for a leader and returns its name. */
  async elect(): Promise<string> {
    await this.until("there is a leader", () => this.leader !== undefined);
    return this.leader!;
  }

  /** Creates a service through the leader. */
  async write(name: string, labels: Record<string, string> = {}): Promise<void> {
    const { store } = this.running.get(await this.elect())!;
    await this.settle(store.update((tx) => tx.create("services", service(name, name, labels))));
  }

  /** Names of the services that a member knows, sorted. */
  names(id: string): string[] {
    return this.running.get(id)!.store.all("services").map(({ ID }) => ID).sort();
  }

  /** Waits until all running members know exactly these services. */
  async agree(...names: string[]): Promise<void> {
    const wanted = names.toSorted().join();
    await this.until(
      `all know ${wanted}`,
      () => [...this.running.keys()].every((id) => this.names(id).join() === wanted),
    );
  }

  /** Stops everybody. */
  async close(): Promise<void> {
    const all = [...this.running.values()];
    await this.settle(Promise.all(all.map(({ member }) => member.stop())));
    await this.settle(Promise.all(all.map(({ listener }) => listener.close())));
  }
}

/** Runs `test` on three members and stops them. */
export async function withThree(
  test: (quorum: MemoryQuorum) => Promise<void>,
  options: Partial<RaftMemberOptions> = {},
): Promise<void> {
  const quorum = await MemoryQuorum.ofThree(options);
  await test(quorum);
  await quorum.close();
}

/** A dialer that reaches nobody after its `end`. */
function mortal(inner: Dialer): { dialer: Dialer; end: () => void } {
  let ended = false;
  const dial: Dialer["dial"] = async (address, options) => {
    const connection = ended ? undefined : await inner.dial(address, options);
    if (!ended) return connection!;
    connection?.close();
    throw new CoveyError("unavailable", `Cannot connect to ${address}: this host is gone`);
  };
  return { dialer: { dial }, end: () => ended = true };
}

/** Reproducible numbers (mulberry32). */
function seeded(seed: number): Random {
  let state = seed;
  const float = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { float, bytes: (length) => Uint8Array.from({ length }, () => float() * 256) };
}
