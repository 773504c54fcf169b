/** One run: a cluster, its clients, its operator and its nemesis, all out of one seed. */
import { Violation } from "../raft/checker.ts";
import { SimAgent } from "./agent.ts";
import { ClusterChecker } from "./checker.ts";
import { RegisterClients } from "./clients.ts";
import { unsettled } from "./convergence.ts";
import { DiskChecker } from "./disk_checker.ts";
import type { Faults } from "./faults.ts";
import { foundCluster } from "./founding.ts";
import type { ReadView } from "../../../manager/store/store.ts";
import { MAX_STANDING_MS, unseenSilence } from "./intent_checker.ts";
import { Refusals } from "./refusals.ts";
import { SimManager } from "./manager.ts";
import { type Deed, Nemesis } from "./nemesis.ts";
import { SimNetwork } from "./network.ts";
import { Operator } from "./operator.ts";
import { World } from "./world.ts";

/** What one run did. */
export interface ClusterResult {
  virtualMs: number;
  steps: number;
  entries: number;
  operations: number;
  tasks: number;
  /** Equal for equal runs. */
  hash: string;
}

/** How long the disturbances of one run last, and how long a healed cluster may take to be well, in milliseconds. */
const CHAOS_MS = { least: 6_000, most: 20_000 };
const RECOVERY_MS = 60_000;
/** Longest time until the first members have found each other. */
const FOUNDING_MS = 30_000;
/** Between two looks at whether something is so. */
const LOOK_MS = 100;

/** Runs one seed to its end, or until a rule is broken. */
export class ClusterSimulation {
  readonly world: World;
  readonly network: SimNetwork;
  readonly checker: ClusterChecker;
  readonly managers: SimManager[];
  /** None in some runs, which are about the managers alone. */
  readonly agents: SimAgent[];
  readonly clients: RegisterClients;
  readonly #operator: Operator;
  readonly #disks = new DiskChecker();
  readonly #nemesis: Nemesis;

  /** `faults` are bugs put in on purpose; `deeds` are what happens instead of what the seed draws. */
  constructor(seed: number, faults: Faults = {}, deeds?: readonly Deed[]) {
    const world = this.world = new World(seed);
    const { random } = world;
    this.network = new SimNetwork(world);
    this.checker = new ClusterChecker(world);
    const refusals = new Refusals(world);
    const surroundings = {
      world,
      faults,
      refusals,
      network: this.network,
      checker: this.checker,
      disks: this.#disks,
      checkpointEntries: random.pick([10, 30, 100]),
      electionTicks: random.pick([10, 10, 10, 3]),
    };
    const count = random.chance(0.25) ? 5 : 3;
    this.managers = Array.from({ length: count }, (_, i) => new SimManager(`m${i + 1}`, surroundings));
    const addresses = this.managers.map(({ address }) => address);
    this.agents = Array.from(
      { length: random.pick([0, 0, 2, 3, 4]) },
      (_, i) => new SimAgent(`w${i + 1}`, world, this.network, this.checker.tasks, addresses),
    );
    this.clients = new RegisterClients(world, this.managers);
    // Whoever removes a manager while another one's disk is being lost has no quorum left, and no bug found.
    const spoils = random.chance(0.5);
    this.#operator = new Operator(world, this.managers, this.#workers, !spoils);
    this.#nemesis = new Nemesis(world, this.network, refusals, this.managers, this.agents, spoils, deeds);
    this.#disks.onTerm = (name) => this.#nemesis.huntVoter(name);
  }

  get #workers(): string[] {
    return this.agents.map(({ name }) => name);
  }

  /** Throws a violation if a property was violated. */
  async run(): Promise<ClusterResult> {
    const { world, checker } = this;
    const founded = foundCluster(world, this.managers, this.#workers);
    await this.#until("the managers have found each other", FOUNDING_MS, founded);
    for (const agent of this.agents) world.spawn(agent.start());
    this.clients.start();
    this.#operator.start();
    this.#nemesis.start();
    await world.run(world.now + world.random.between(CHAOS_MS.least, CHAOS_MS.most));
    world.calm = true;
    this.#nemesis.heal();
    await this.#recover();
    this.clients.check();
    return {
      virtualMs: world.now,
      steps: world.steps,
      entries: checker.entries,
      operations: this.clients.count,
      tasks: checker.tasks.started,
      hash: world.log.hash,
    };
  }

  async #recover(): Promise<void> {
    const { world, managers, checker } = this;
    await this.#until("every node is as it shall be", RECOVERY_MS, this.#operator.restoreNodes());
    await this.#within("a manager is not up", () => managers.find(({ manager }) => !manager)?.name);
    await this.#until("clients can read everything", RECOVERY_MS, this.clients.readAll());
    await this.#settle();
    await this.#loseDevice();
    await this.#within("managers differ", () => {
      const applied = managers.map(({ manager }) => manager?.consensus.status().appliedIndex);
      return new Set(applied).size === 1 ? undefined : applied.join();
    });
    for (const { name, view, manager } of managers) {
      const { consensus, store } = manager!;
      checker.survives(view, consensus.status().appliedIndex);
      view.replica.checkAgainst(name, store);
    }
    world.log.note("well");
  }

  async #settle(): Promise<void> {
    await this.#within(
      "not settled",
      this.#asLeader((state) => unsettled(state, this.agents) ?? this.checker.intents.forgotten(state)),
    );
  }

  /** A last disturbance: a device is gone for a while. It is missed, and all is well again when it is back. */
  async #loseDevice(): Promise<void> {
    const [agent] = this.agents;
    if (!agent) return;
    const restore = this.#nemesis.silence(agent);
    await this.#until("services are changed once more", RECOVERY_MS, this.#operator.changeServices());
    await this.#within("a device is not missed", this.#asLeader((state) => unseenSilence(state, agent.name)));
    restore();
    await this.#settle();
    // What was forgotten shows by standing still.
    await this.world.run(this.world.now + MAX_STANDING_MS + LOOK_MS);
    await this.#settle();
  }

  #asLeader(problem: (state: ReadView) => string | undefined): () => string | undefined {
    return () => {
      const leader = this.managers.find(({ isLeader }) => isLeader);
      return leader ? problem(leader.manager!.store) : "there is no leader";
    };
  }

  /** LV: what must become so after healing; `problem` says what is in the way. */
  async #within(what: string, problem: () => string | undefined): Promise<void> {
    const { world } = this;
    const end = world.now + RECOVERY_MS;
    for (let last = problem(); last !== undefined; last = problem()) {
      if (world.now >= end) throw new Violation("LV", `after ${RECOVERY_MS} ms ${what}: ${last}`);
      await world.run(world.now + LOOK_MS);
    }
  }

  async #until(what: string, limitMs: number, work: Promise<unknown>): Promise<void> {
    let done = false;
    const { world } = this;
    world.spawn(work.then(() => done = true));
    if (!await world.run(world.now + limitMs, () => done)) {
      throw new Violation("LV", `not within ${limitMs} ms: ${what}`);
    }
  }
}
