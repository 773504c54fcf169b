/** A log of entries as a leader sees it: each commits a while after it was proposed, unless the leader is deposed before. */
import { CoveyError } from "../../../api/errors.ts";
import type { Consensus, ConsensusStatus } from "../../../manager/consensus/consensus.ts";
import { notLeading } from "../../../manager/consensus/mod.ts";
import type { StateMachine } from "../../../manager/consensus/state_machine.ts";
import type { World } from "../cluster/world.ts";
import type { SeededRandom } from "../raft/random.ts";

/** From a proposal to its commit, milliseconds. */
const COMMIT_MS = 3;

interface Proposal {
  entry: Uint8Array;
  local: unknown;
  resolve: (index: number) => void;
  reject: (error: Error) => void;
}

/** What the managers of a cluster have in common. Which of them leads makes no difference to it. */
export class FleetLog implements Consensus {
  readonly failed = new Promise<Error>(() => {});
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #waiting: Proposal[] = [];
  #machine: StateMachine | undefined;
  #index = 0;
  #term = 0;
  #leads = false;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.fork();
  }

  start(machine: StateMachine): Promise<void> {
    this.#machine = machine;
    return Promise.resolve();
  }

  propose(entry: Uint8Array, local?: unknown): Promise<number> {
    if (!this.#leads) return Promise.reject(notLeading("propose", "this manager is not the leader"));
    return new Promise((resolve, reject) => {
      const proposal = { entry, local, resolve, reject };
      this.#waiting.push(proposal);
      this.#world.queue.after(COMMIT_MS, () => {
        if (this.#waiting[0] !== proposal) return;
        this.#waiting.shift();
        resolve(this.#commit(proposal));
      });
    });
  }

  #commit({ entry, local }: Proposal): number {
    this.#machine!.apply(++this.#index, entry, local);
    return this.#index;
  }

  lead(): void {
    this.#term++;
    this.#leads = true;
  }

  /** The leader is gone: of what it had proposed, the first so many are committed all the same, and nobody is told. */
  depose(): void {
    this.#leads = false;
    const kept = this.#random.between(0, this.#waiting.length);
    for (const [nth, proposal] of this.#waiting.splice(0).entries()) {
      if (nth < kept) this.#commit(proposal);
      proposal.reject(new CoveyError("unknown", "Cannot tell: leadership was lost"));
    }
  }

  readBarrier(): Promise<void> {
    return this.#leads
      ? Promise.resolve()
      : Promise.reject(notLeading("read", "this manager is not the leader"));
  }

  status(): ConsensusStatus {
    return {
      isLeader: this.#leads,
      leaderNodeID: this.#leads ? "leader" : undefined,
      term: this.#term,
      appliedIndex: this.#index,
      members: [],
    };
  }

  subscribe(): () => void {
    return () => {};
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}
