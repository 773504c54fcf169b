/** A consensus group in memory: one log, members that apply it, and a leader that the test names. */
import {
  type Consensus,
  type ConsensusStatus,
  type Member,
  notLeading,
} from "../../../manager/consensus/mod.ts";
import type { StateMachine } from "../../../manager/consensus/state_machine.ts";

/** The log, and who leads: {@linkcode elect} decides. */
export class FakeGroup {
  readonly members: Member[];
  readonly consensus: Record<string, FakeMember> = {};
  /** Runs before an entry is committed: throw to fail the proposal, return a promise to delay it. */
  beforeCommit: (() => void | Promise<void>) | undefined;
  leader: string | undefined;
  /** The leader takes nothing new: it waits for another to take over. */
  handsOver = false;
  #index = 0;

  /** `addresses` by node ID. */
  constructor(addresses: Record<string, string>, leader: string | undefined) {
    this.leader = leader;
    this.members = Object.entries(addresses).map(([nodeID, address], i) => ({
      memberID: i + 1,
      nodeID,
      address,
      learner: false,
      reachable: true,
    }));
    for (const nodeID of Object.keys(addresses)) this.consensus[nodeID] = new FakeMember(this, nodeID);
  }

  /** Makes `leader` known to all members at once, or to those `told` only: the others believe what they did before. */
  elect(leader: string | undefined, told = Object.keys(this.consensus)): void {
    this.leader = leader;
    this.handsOver = false;
    for (const nodeID of told) this.consensus[nodeID]!.believe(leader);
  }

  async commit(entry: Uint8Array, proposer: string, local: unknown): Promise<number> {
    await this.beforeCommit?.();
    const index = ++this.#index;
    for (const member of Object.values(this.consensus)) {
      member.machine?.apply(index, entry, member.nodeID === proposer ? local : undefined);
    }
    return index;
  }

  get index(): number {
    return this.#index;
  }
}

/** One member of a {@linkcode FakeGroup}. */
export class FakeMember implements Consensus {
  readonly failed = new Promise<Error>(() => {});
  readonly nodeID: string;
  machine: StateMachine | undefined;
  readonly #group: FakeGroup;
  readonly #listeners = new Set<(status: ConsensusStatus) => void>();
  #leader: string | undefined;

  constructor(group: FakeGroup, nodeID: string) {
    this.#group = group;
    this.nodeID = nodeID;
    this.#leader = group.leader;
  }

  believe(leader: string | undefined): void {
    this.#leader = leader;
    for (const listener of [...this.#listeners]) listener(this.status());
  }

  start(machine: StateMachine): Promise<void> {
    this.machine = machine;
    return Promise.resolve();
  }

  propose(entry: Uint8Array, local?: unknown): Promise<number> {
    if (this.#group.handsOver) {
      return Promise.reject(notLeading("propose", "leadership is being handed over"));
    }
    if (this.#leader === this.nodeID) return this.#group.commit(entry, this.nodeID, local);
    return Promise.reject(notLeading("propose", "this manager is not the leader"));
  }

  readBarrier(): Promise<void> {
    return this.#group.handsOver
      ? Promise.reject(notLeading("read", "the leader has changed"))
      : Promise.resolve();
  }

  status(): ConsensusStatus {
    return {
      isLeader: this.#leader === this.nodeID,
      leaderNodeID: this.#leader,
      term: 1,
      appliedIndex: this.#group.index,
      members: this.#group.members,
    };
  }

  subscribe(listener: (status: ConsensusStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}
