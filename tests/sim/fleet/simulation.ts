/** One run: a fleet, who runs it and what befalls it, all out of one seed. The leader's side is the production code. */
import { defaultClusterSpec, firstNode } from "../../../manager/cluster/new_cluster.ts";
import { World } from "../cluster/world.ts";
import { Violation } from "../raft/checker.ts";
import type { SeededRandom } from "../raft/random.ts";
import { FleetChecker } from "./checker.ts";
import { FleetDevice } from "./device.ts";
import { type FleetMember, SwappingDevice } from "./swapping_device.ts";
import { Managers } from "./managers.ts";
import { FleetOperator } from "./operator.ts";
import { EARLY } from "./policies.ts";
import { unsettled } from "./settled.ts";

/** What one run did. */
export interface FleetResult {
  virtualMs: number;
  /** Tasks that rollouts made. */
  replaced: number;
  /** Programs that devices started. */
  started: number;
  entries: number;
  /** Equal for equal runs. */
  hash: string;
}

const HEARTBEAT_NS = 10e9;
/** Of the devices, how many are offline at any time, and how long each is, milliseconds. */
const OFFLINE_SHARE = 0.2, OFFLINE_MS = 120_000;
/** Of the devices that go, how many lose their power. */
const POWERLESS_SHARE = 0.2;
/** Of the runs, how many have devices that swap by themselves: those run the production agent's worker. */
const SWAPPING_SHARE = 0.5;
/** Between two changes of the leader, of its clock, and of a node's availability, at most. */
const LEADER_MS = 240_000, CLOCK_MS = 240_000, DRAIN_MS = 120_000;
const DEVICES_PER_SITE = 10, REGIONS = 4;
/** Devices that join later. */
const NEWCOMERS = 2;
/** Until everything has come to rest, of which nothing hinders it any more. */
const RECOVERY_MS = 60 * 60_000;
/** How long a rollout that is held must hold. */
const HOLD_MS = 3 * 60_000;
const LOOK_MS = 5_000;
/** Of the runs, how many end with a rollout that is held. */
const HELD_SHARE = 0.25;

/** Runs one seed to its end, or until a rule is broken. */
export class FleetSimulation {
  readonly world: World;
  readonly managers: Managers;
  readonly checker: FleetChecker;
  readonly devices: FleetMember[];
  readonly #operator: FleetOperator;
  readonly #random: SeededRandom;

  constructor(seed: number, devices: number) {
    const world = this.world = new World(seed);
    this.#random = world.fork();
    this.managers = new Managers(world);
    const checker = this.checker = new FleetChecker(this.managers.store);
    this.managers.store.subscribe((commit) => this.#guard(() => checker.sees(commit)), "checker");
    const swaps = this.#random.chance(SWAPPING_SHARE), Member = swaps ? SwappingDevice : FleetDevice;
    this.devices = Array.from({ length: devices }, (_, i) => new Member(`d${i}`, world, this.managers));
    this.#operator = new FleetOperator(world, this.managers, checker, devices, swaps);
  }

  /** Does `work`; a violation ends the run, whatever the code makes of it in whose midst it is found. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.world.fail(error);
    }
  }

  async run(): Promise<FleetResult> {
    const { world, managers, devices } = this;
    const random = this.#random;
    managers.lead();
    const early = devices.length - NEWCOMERS;
    await this.#until(this.#found(early));
    for (const device of devices.slice(0, early)) this.#weather(device);
    await this.#until(this.#operator.create());
    await world.run(world.now + 60_000);
    this.#disturb(LEADER_MS, () => managers.change());
    this.#disturb(CLOCK_MS, () => Promise.resolve(managers.setClock()));
    this.#disturb(DRAIN_MS, () => this.#changeNode());
    this.#join(early);
    await this.#until(this.#operator.work());
    if (random.chance(HELD_SHARE)) await this.#hold();
    else await this.#converge();
    await this.#until(managers.stop());
    const started = devices.reduce((sum, device) => sum + device.started, 0);
    const { replaced } = this.checker, entries = managers.store.index;
    return { virtualMs: world.now, replaced, started, entries, hash: world.log.hash };
  }

  async #found(count: number): Promise<void> {
    const spec = { ...defaultClusterSpec(), Dispatcher: { HeartbeatPeriod: HEARTBEAT_NS } };
    await this.managers.store.update((tx) => {
      tx.create("clusters", {
        ID: "cluster",
        Version: { Index: 0 },
        CreatedAt: "",
        UpdatedAt: "",
        Spec: spec,
        RootCA: { CACert: "root", CAKey: "", JoinTokens: { Worker: "", Manager: "" } },
        BlacklistedCertificates: {},
      });
    });
    const early = Math.max(1, Math.floor(count / 20));
    await this.managers.store.batch(this.devices.slice(0, count), (tx, { name }) => {
      tx.create("nodes", this.#node(name, Number(name.slice(1)) < early));
    });
  }

  #node(name: string, isEarly = false) {
    const node = firstNode(name, "active"), site = Math.floor(Number(name.slice(1)) / DEVICES_PER_SITE);
    const Labels = {
      site: `site-${site}`,
      region: `region-${site % REGIONS}`,
      ...(isEarly && { [EARLY.label]: EARLY.value }),
    };
    return { ...node, Role: "worker" as const, Spec: { ...node.Spec, Role: "worker" as const, Labels } };
  }

  /** Devices that join while rollouts go on. */
  #join(from: number): void {
    for (const device of this.devices.slice(from)) {
      this.world.queue.after(this.#random.next() * 10 * 60_000, async () => {
        for (let done = false; !done;) {
          await this.managers.store.update((tx) => {
            if (!tx.get("nodes", device.name)) tx.create("nodes", this.#node(device.name));
          }).then(() => done = true, () => this.world.sleep(1_000));
        }
        this.#weather(device);
      });
    }
  }

  /** A device comes and goes, for as long as there are disturbances. */
  #weather(device: FleetMember): void {
    const { world } = this, random = world.fork();
    const draw = (meanMs: number) => Math.min(-Math.log(1 - random.next()), 4) * meanMs;
    const comes = () => {
      device.restorePower();
      world.queue.after(draw(OFFLINE_MS * (1 - OFFLINE_SHARE) / OFFLINE_SHARE), goes);
    };
    const goes = () => {
      if (world.calm) return;
      if (random.chance(POWERLESS_SHARE)) device.losePower();
      else device.goOffline();
      world.queue.after(draw(OFFLINE_MS), comes);
    };
    if (random.chance(OFFLINE_SHARE)) world.queue.after(draw(OFFLINE_MS), comes);
    else comes();
  }

  #disturb(mostMs: number, deed: () => Promise<void>): void {
    const { world } = this, random = world.fork();
    const run = async () => {
      while (true) {
        await world.sleep(random.next() * mostMs);
        if (world.calm) return;
        await deed();
      }
    };
    world.spawn(run());
  }

  async #changeNode(): Promise<void> {
    const random = this.#random;
    const { name } = random.pick(this.devices);
    await this.#operator.setNode(name, random.pick(["drain", "pause", "active", "active"]));
  }

  /** Disturbances end, and everybody is there. */
  async #calm(): Promise<void> {
    const { world, devices } = this;
    world.calm = true;
    // Who is about to change the leader does it first.
    await world.run(world.now + 15_000);
    for (const device of devices) device.restorePower();
    for (const { name } of devices) await this.#until(this.#operator.setNode(name, "active"));
  }

  /** A last release is aborted or paused at any moment: what it has reached stays, nobody else gets it, whoever returns. */
  async #hold(): Promise<void> {
    const { world } = this, random = this.#random, operator = this.#operator;
    await this.#until(operator.release(random.chance(0.5) ? "good" : "dies"));
    await world.run(world.now + random.next() * 180_000);
    await this.#until(operator.control(random.chance(0.5) ? "abort" : "pause"));
    await this.#calm();
    await world.run(world.now + HOLD_MS);
    await this.#settle(() => Promise.resolve());
  }

  /** A last release is good, and gets everywhere. */
  async #converge(): Promise<void> {
    const { world } = this, operator = this.#operator;
    await this.#until(operator.release("good"));
    await world.run(world.now + this.#random.next() * 300_000);
    await this.#calm();
    await this.#settle(() => operator.help());
  }

  /** LV: what must become so after all that hindered it is over. */
  async #settle(help: () => Promise<void>): Promise<void> {
    const { world, managers } = this;
    const end = world.now + RECOVERY_MS;
    while (true) {
      await this.#until(help());
      const problem = unsettled(managers.store, this.#operator.service!, this.devices);
      if (problem === undefined) return;
      if (world.now >= end) {
        const { UpdateStatus } = this.#operator.service!;
        const where = JSON.stringify(UpdateStatus?.Rollout);
        throw new Violation("LV", `not settled: ${problem}; ${UpdateStatus?.Message} ${where}`);
      }
      await world.run(world.now + LOOK_MS);
    }
  }

  async #until(work: Promise<unknown>): Promise<void> {
    const { world } = this;
    let done = false;
    world.spawn(work.then(() => done = true));
    if (!await world.run(world.now + RECOVERY_MS, () => done)) throw new Violation("LV", "work does not end");
  }
}
