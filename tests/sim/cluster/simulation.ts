/** One run: a cluster, its clients, its operator and its nemesis, all out of one seed. */
import { Violation } from "../raft/checker.ts";
import { ClusterChecker } from "./checker.ts";
import { RegisterClients } from "./clients.ts";
import { DiskChecker } from "./disk_checker.ts";
import type { Faults } from "./faults.ts";
import { foundCluster } from "./founding.ts";
import { SimManager } from "./manager.ts";
import { Nemesis } from "./nemesis.ts";
import { SimNetwork } from "./network.ts";
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

/** See the file's head. */
export class ClusterSimulation {
  readonly world: World;
  readonly network: SimNetwork;
  readonly checker: ClusterChecker;
  readonly managers: SimManager[];
  readonly clients: RegisterClients;
  readonly #disks = new DiskChecker();
  readonly #nemesis: Nemesis;

  constructor(seed: number, faults: Faults = {}) {
    const world = this.world = new World(seed);
    const { random } = world;
    this.network = new SimNetwork(world);
    this.checker = new ClusterChecker(world);
    const surroundings = {
      ...{ world, faults, network: this.network, checker: this.checker, disks: this.#disks },
      checkpointEntries: random.pick([10, 30, 100]),
    };
    const count = random.chance(0.25) ? 5 : 3;
    this.managers = Array.from({ length: count }, (_, i) => new SimManager(`m${i + 1}`, surroundings));
    this.clients = new RegisterClients(world, this.managers);
    this.#nemesis = new Nemesis(world, this.network, this.managers);
  }

  /** Throws a violation if a property was violated. */
  async run(): Promise<ClusterResult> {
    const { world, checker } = this;
    await this.#until("the managers have found each other", FOUNDING_MS, foundCluster(world, this.managers));
    this.clients.start();
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
    await this.#within("all managers are up", () => managers.every(({ manager }) => manager !== undefined));
    await this.#until("clients can read everything", RECOVERY_MS, this.clients.readAll());
    await this.#within("all managers have applied everything", () => {
      const applied = new Set(managers.map(({ manager }) => manager!.consensus.status().appliedIndex));
      return applied.size === 1;
    });
    for (const { name, view, manager } of managers) {
      const { consensus, store } = manager!;
      checker.survives(view, consensus.status().appliedIndex);
      view.replica.checkAgainst(name, store);
    }
    world.log.note("well");
  }

  /** LV: what must become so after healing. */
  async #within(what: string, done: () => boolean): Promise<void> {
    const { world } = this;
    const end = world.now + RECOVERY_MS;
    while (!done()) {
      if (world.now >= end) throw new Violation("LV", `not within ${RECOVERY_MS} ms: ${what}`);
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
