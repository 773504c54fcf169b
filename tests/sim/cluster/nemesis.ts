/** Everything bad that happens to the cluster, and the repairs. */
import type { SeededRandom } from "../raft/random.ts";
import type { SimAgent } from "./agent.ts";
import type { Host } from "./host.ts";
import type { SimManager } from "./manager.ts";
import type { SimNetwork } from "./network.ts";
import type { Refusals } from "./refusals.ts";
import { FAIR } from "./path.ts";
import type { World } from "./world.ts";

/** Between two deeds, milliseconds; drawn once per run. */
const PAUSES_MS = [300, 900, 2500];
/** How often somebody looks for managers that are down and shall not be. */
const REPAIR_MS = 400;

/** How long writes fail while a device is silent: long enough for it to be missed. */
const SILENCE_MS = 8_000;

/** A kind of fault. */
export type Deed =
  | (
    | "crash"
    | "crashLeader"
    | "crashAll"
    | "split"
    | "isolate"
    | "swizzle"
    | "duel"
    | "refuse"
    | "badWeather"
    | "refuseProposals"
  )
  | ("stopOrderly" | "pause" | "pauseLeader" | "jumpClock" | "slowDisk" | "failDisk" | "rot" | "loseDisk")
  | ("crashAgent" | "pauseAgent" | "cutAgent");

/** Does one deed after another. With `spoils`, disks are torn, rot and get lost, those of a majority excepted. */
export class Nemesis {
  readonly #world: World;
  readonly #network: SimNetwork;
  readonly #refusals: Refusals;
  readonly #managers: readonly SimManager[];
  readonly #agents: readonly SimAgent[];
  readonly #random: SeededRandom;
  readonly #pauseMs: number;
  readonly #spoils: boolean;
  /** Share of votes after which the voter is restarted at once. */
  readonly #hunt: number;
  #started = false;
  #silent: SimAgent | undefined;
  /** The manager that decides the duel under way. */
  #dueling = "";
  /** Managers that stay down for a while. */
  readonly #resting = new Set<SimManager>();
  /** Of all deeds some, drawn once per run: what is rare among all is common among few. */
  readonly #deeds: (() => void)[];

  constructor(
    world: World,
    network: SimNetwork,
    refusals: Refusals,
    managers: readonly SimManager[],
    agents: readonly SimAgent[],
    spoils: boolean,
    only?: readonly Deed[],
  ) {
    this.#world = world;
    this.#network = network;
    this.#refusals = refusals;
    this.#managers = managers;
    this.#agents = agents;
    this.#spoils = spoils;
    this.#random = world.fork();
    this.#pauseMs = this.#random.pick(PAUSES_MS);
    this.#hunt = this.#random.pick([0, 0, 0.2, 0.9]);
    const all = this.#allDeeds();
    const names = (Object.keys(all) as Deed[]).filter((name) => agents.length > 0 || !name.endsWith("Agent"));
    const some = only ?? this.#random.shuffled(names).slice(0, this.#random.between(2, names.length));
    world.log.note(`deeds: ${some}`);
    const heal = () => this.#healNetwork();
    this.#deeds = [...some.map((name) => all[name]), ...some.slice(0, some.length / 4).map(() => heal), heal];
  }

  #allDeeds(): Record<Deed, () => void> {
    return {
      crash: () => this.#crash(this.#someManager()),
      crashLeader: () => this.#crash(this.#leader()),
      crashAll: () => this.#crashAll(),
      split: () => this.#split(),
      isolate: () => this.#isolate(),
      swizzle: () => this.#swizzle(),
      duel: () => this.#duel(),
      refuse: () => this.#refuse(),
      badWeather: () => this.#badWeather(),
      refuseProposals: () => this.#refuseProposals(),
      stopOrderly: () => this.#stopOrderly(),
      pause: () => this.#pause(),
      pauseLeader: () => this.#pauseLeader(),
      jumpClock: () => this.#jumpClock(),
      slowDisk: () => this.#slowDisk(),
      failDisk: () => this.#failDisk(),
      rot: () => this.#rot(),
      loseDisk: () => this.#loseDisk(),
      crashAgent: () => this.#crashAgent(),
      pauseAgent: () => this.#pauseAgent(),
      cutAgent: () => this.#cutAgent(),
    };
  }

  start(): void {
    this.#started = true;
    this.#world.spawn(this.#disturb());
    this.#world.spawn(this.#repair());
  }

  /** Ends all disturbance. */
  heal(): void {
    this.#world.log.note("everything is healed");
    this.#network.heal();
    this.#refusals.end();
    this.#resting.clear();
    for (const manager of this.#managers) {
      manager.host.resume();
      manager.disk.syncMs = 1;
      manager.disk.failure = undefined;
      manager.host.wallOffsetMs = 0;
    }
    for (const { host } of this.#agents) host.resume();
  }

  /**
   * A device soon loses its power and gets it back when asked for; meanwhile many of the leader's writes fail. Where the
   * leader has changed just before, the device may be gone before it could be welcomed.
   */
  silence(agent: SimAgent): () => void {
    this.#silent = agent;
    if (this.#random.chance(0.5)) this.#restart(this.#leader());
    this.#world.queue.after(this.#random.next() * 3_000, () => agent.crash(false));
    this.#refusals.refused = 0.6;
    this.#refusals.lost = 0.2;
    this.#world.queue.after(SILENCE_MS, () => this.#refusals.end());
    return () => this.#silent = undefined;
  }

  async #disturb(): Promise<void> {
    while (true) {
      await this.#world.sleep(this.#random.next() * 2 * this.#pauseMs);
      if (this.#world.calm) return;
      this.#random.pick(this.#deeds)();
    }
  }

  /** What a service manager and an operator do: start what is down, replace what is lost. */
  async #repair(): Promise<void> {
    while (true) {
      await this.#world.sleep(REPAIR_MS * (0.5 + this.#random.next()));
      for (const manager of this.#managers) {
        if (this.#resting.has(manager)) continue;
        if (manager.state === "lost" || manager.state === "removed") manager.replaceDisk();
        if (manager.state === "down") {
          this.#world.spawn(manager.start(this.#othersOf(manager)));
        }
      }
      for (const agent of this.#agents) {
        if (!agent.host.running && agent !== this.#silent) this.#world.spawn(agent.start());
      }
    }
  }

  #someManager(): SimManager {
    return this.#random.pick(this.#managers);
  }

  #leader(): SimManager {
    return this.#managers.find(({ isLeader }) => isLeader) ?? this.#someManager();
  }

  /** Whether one more manager may lose what it has: a majority must keep it. */
  #maySpoil(manager: SimManager): boolean {
    if (!this.#spoils) return false;
    const sound = this.#managers.filter((other) => other !== manager && other.isSound).length;
    return sound > this.#managers.length / 2;
  }

  #crash(manager: SimManager): void {
    manager.crash(this.#random.chance(0.5), this.#maySpoil(manager));
    this.#rest(manager, this.#random.chance(0.6) ? 50 : 4000);
  }

  /** Leaves a manager down for a while. */
  #rest(manager: SimManager, mostMs: number): void {
    this.#resting.add(manager);
    this.#world.queue.after(this.#random.next() * mostMs, () => this.#resting.delete(manager));
  }

  #crashAll(): void {
    for (const manager of this.#managers) {
      manager.crash(false, false);
      this.#rest(manager, 1500);
    }
  }

  #stopOrderly(): void {
    const manager = this.#leader();
    this.#world.spawn(manager.stop());
  }

  #names(): string[] {
    return this.#random.shuffled(this.#managers.map(({ name }) => name));
  }

  #split(): void {
    const names = this.#names();
    const at = this.#random.between(1, names.length - 1);
    const oneWay = this.#random.chance(0.4);
    this.#world.log.note(
      `network: ${names.slice(0, at)} to ${names.slice(at)} ${oneWay ? "one way" : "cut"}`,
    );
    for (const a of names.slice(0, at)) {
      for (const b of names.slice(at)) {
        this.#network.stall(a, b, true);
        if (!oneWay) this.#network.stall(b, a, true);
      }
    }
  }

  #isolate(): void {
    const { name } = this.#leader();
    const [send, receive] = this.#random.pick([[true, true], [true, false], [false, true]]);
    const friend = this.#random.chance(0.3) ? this.#someManager().name : undefined;
    this.#world.log.note(`network: ${name} cut off, send ${!send} receive ${!receive} but for ${friend}`);
    for (const other of this.#names()) {
      if (other === name || other === friend) continue;
      if (send) this.#network.stall(name, other, true);
      if (receive) this.#network.stall(other, name, true);
    }
  }

  /** Links are clogged one by one, and freed in another order. */
  #swizzle(): void {
    const names = this.#names(), random = this.#random;
    const set = (name: string, stalled: boolean) => {
      for (const other of names) {
        this.#network.stall(name, other, stalled);
        this.#network.stall(other, name, stalled);
      }
    };
    const some = names.slice(0, random.between(1, names.length));
    const later = (ms: number, run: () => void) =>
      this.#world.queue.after(ms, () => this.#world.calm || run());
    some.forEach((name, i) => later(i * random.between(10, 300), () => set(name, true)));
    random.shuffled(some).forEach((name, i) =>
      later(2000 + i * random.between(10, 300), () => set(name, false))
    );
  }

  #refuse(): void {
    const [a, b] = this.#names();
    this.#world.log.note(`network: ${a} and ${b} refuse each other`);
    this.#network.refuse(a!, b!, true);
  }

  #badWeather(): void {
    this.#network.weather = this.#random.chance(0.3)
      ? FAIR
      : { slow: this.#random.pick([0.1, 0.5]), slowMs: this.#random.pick([20, 200, 1500]) };
  }

  /** The leader goes on leading, but not every write of it gets through, or is known to. */
  #refuseProposals(): void {
    const refusals = this.#refusals;
    refusals.refused = this.#random.pick([0, 0.2, 0.7, 1]);
    refusals.lost = this.#random.pick([0, 0.1, 0.5]);
    this.#world.log.note(`proposals: ${refusals.refused} refused, ${refusals.lost} of the answers lost`);
    this.#world.queue.after(this.#random.between(100, 3000), () => this.#world.calm || refusals.end());
  }

  #pause(): void {
    this.#pauseHost(this.#someManager().host, this.#random.between(50, 4000));
  }

  /** Long enough for another one to lead when it wakes up, of which it may hear late. */
  #pauseLeader(): void {
    const { host } = this.#leader();
    const ms = this.#random.between(1500, 5000);
    this.#pauseHost(host, ms);
    if (this.#random.chance(0.5)) return;
    const others = this.#names().filter((name) => name !== host.name);
    for (const other of others) this.#network.stall(other, host.name, true);
    this.#world.queue.after(ms + this.#random.between(100, 1500), () => {
      for (const other of others) this.#network.stall(other, host.name, false);
    });
  }

  #pauseHost(host: Host, ms: number): void {
    this.#world.log.note(`${host.name} is paused`);
    host.pause();
    this.#world.queue.after(ms, () => host.resume());
  }

  /** The leader restarts, and two others that cannot hear each other want to succeed it with its vote. */
  #duel(): void {
    const leader = this.#leader();
    this.#restart(leader);
    this.#dueling = leader.name;
    const [a, b] = this.#names().filter((name) => name !== leader.name);
    this.#network.stall(a!, b!, true);
    this.#network.stall(b!, a!, true);
    this.#world.queue.after(this.#random.between(1500, 4000), () => {
      this.#network.stall(a!, b!, false);
      this.#network.stall(b!, a!, false);
      this.#dueling = "";
    });
  }

  /** Restarts a voter while the election that it may have decided goes on. */
  huntVoter(name: string): void {
    if (!this.#started || this.#world.calm) return;
    if (!this.#random.chance(this.#dueling === name ? 0.9 : this.#hunt)) return;
    const voter = this.#managers.find((manager) => manager.name === name)!;
    const at = this.#random.next() * 2;
    this.#world.queue.after(at, () => this.#world.calm || this.#restart(voter));
  }

  #restart(manager: SimManager): void {
    if (manager.state !== "up") return;
    manager.crash(true);
    this.#world.spawn(manager.start(this.#othersOf(manager)));
  }

  #othersOf(manager: SimManager): string[] {
    return this.#managers.filter((other) => other !== manager).map(({ address }) => address);
  }

  #slowDisk(): void {
    this.#someManager().disk.syncMs = this.#random.pick([1, 10, 100, 500, 4000]);
  }

  #failDisk(): void {
    const { disk, name } = this.#someManager();
    disk.failure = this.#random.pick(["full", "fsync"]);
    this.#world.log.note(`${name}: the disk fails, ${disk.failure}`);
  }

  #rot(): void {
    const manager = this.#someManager();
    if (!this.#maySpoil(manager) || !manager.disk.flipBit()) return;
    this.#world.log.note(`${manager.name}: a bit flips`);
    if (this.#random.chance(0.7)) this.#crash(manager);
  }

  #loseDisk(): void {
    const manager = this.#someManager();
    if (!this.#maySpoil(manager)) return;
    manager.crash(false);
    manager.replaceDisk();
    this.#rest(manager, 3000);
  }

  #jumpClock(): void {
    const { host } = this.#someManager();
    host.wallOffsetMs += this.#random.pick([-3_600_000, -5_000, 5_000, 3_600_000]);
  }

  #crashAgent(): void {
    this.#random.pick(this.#agents).crash(this.#random.chance(0.7));
  }

  #pauseAgent(): void {
    this.#pauseHost(this.#random.pick(this.#agents).host, this.#random.between(50, 8000));
  }

  /** A device loses some or all managers, one way or both. */
  #cutAgent(): void {
    const { name } = this.#random.pick(this.#agents);
    const some = this.#random.chance(0.5);
    this.#world.log.note(`network: ${name} loses ${some ? "some" : "all"} managers`);
    for (const manager of this.#managers) {
      if (some && this.#random.chance(0.5)) continue;
      this.#network.stall(name, manager.name, this.#random.chance(0.8));
      this.#network.stall(manager.name, name, this.#random.chance(0.8));
    }
  }

  #healNetwork(): void {
    this.#world.log.note("network: healed");
    this.#network.heal();
  }
}
