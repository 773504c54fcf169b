/**
 * A device that goes back to the old version by itself: the production agent's worker on a disk, a clock and programs that are
 * pretended. Its agent is killed and its power cut at any moment.
 *
 * - **ONE** a version that takes another one's place never runs beside it, unless that was asked for.
 * - **BAD** a version that failed on the device is not brought in there again unless somebody says so.
 */
import type { AssignmentChange, AssignmentsMessage } from "../../../api/dispatcher.ts";
import type { Task } from "../../../api/task.ts";
import { opensAt } from "../../../api/window.ts";
import { versionHash } from "../../../agent/bad_versions.ts";
import { DependencyKeeper } from "../../../agent/dependencies.ts";
import type { DeviceFacts } from "../../../agent/gate.ts";
import { LocalState } from "../../../agent/local_state.ts";
import { StatusReporter } from "../../../agent/status_reporter.ts";
import { Worker } from "../../../agent/worker.ts";
import { CoveyError } from "../../../api/errors.ts";
import { MockController, type MockScript } from "../../../executors/mock/mock_controller.ts";
import { createMockExecutor } from "../../../executors/mock/mock_executor.ts";
import { SimDevice, tiedTo } from "../cluster/device.ts";
import { Host } from "../cluster/host.ts";
import { SimKv } from "../cluster/kv.ts";
import type { World } from "../cluster/world.ts";
import { Violation } from "../raft/checker.ts";
import type { SeededRandom } from "../raft/random.ts";
import type { FleetDevice } from "./device.ts";
import { DeviceLink } from "./device_link.ts";
import type { Managers } from "./managers.ts";
import { isBroken, kindOf, versionOf } from "./versions.ts";

/** What one call of the executor takes, milliseconds. */
const CALL_MS = { least: 50, most: 800 };
/** How long a program lives that ends by itself, and one that takes its device along, which is gone for so long. */
const LIFE_MS = [200, 5_000, 25_000], KILLER_LIFE_MS = [1, 200, 5_000], KILLED_MS = [5_000, 60_000];
/** Of the boots, how many begin with a lock, and for how long that is set at most. */
const LOCKED_SHARE = 0.1, LOCKED_MS = 240_000;
/** Between two deaths of the agent alone, at most. */
const AGENT_LIFE_MS = 600_000;
/** Of the commits, how many it is killed in the midst of or right after. */
const KILLED_WRITES = 0.01;
/** Of the devices, how many have a slow disk, and what a commit takes there at most. */
const SLOW_SHARE = 0.1, SLOW_COMMIT_MS = 2_000, COMMIT_MS = 2;

/** A device, whoever plays its agent. */
export type FleetMember = FleetDevice | SwappingDevice;

/** One device. */
export class SwappingDevice {
  readonly #link: DeviceLink;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #host: Host;
  readonly #kv: SimKv;
  readonly #device: SimDevice;
  /** Tasks as they were last run, by ID. */
  readonly #tasks = new Map<string, Task>();
  /** Versions that the device has on its disk as failed. */
  readonly #proved = new Set<string>();
  #worker: Worker | undefined;
  #reporter: StatusReporter | undefined;
  #state: LocalState | undefined;
  #complete: AssignmentChange[] = [];
  #powered = false;
  #lockedUntilMs = 0;
  /** Programs started so far. */
  started = 0;
  /** A version that is healthy here has run, and had not to take the place of one that was not. */
  wasHealthy = false;

  constructor(readonly name: string, world: World, managers: Managers) {
    this.#world = world;
    this.#random = world.fork();
    this.#host = new Host(name, world);
    const commitMs = this.#random.chance(SLOW_SHARE) ? SLOW_COMMIT_MS : COMMIT_MS;
    this.#kv = new SimKv(this.#host, commitMs, () => {
      if (!this.#random.chance(KILLED_WRITES)) return;
      const { life } = this.#host;
      world.queue.after(2 * commitMs * this.#random.next(), () => this.#killAgent(life));
    });
    this.#device = new SimDevice(name, world, { starts: (_, taskID) => this.#starts(taskID) });
    this.#link = new DeviceLink(name, world, managers, {
      connected: () => this.#connected(),
      disconnected: () => this.#disconnected(),
      assigned: (message) => this.#take(message),
    }, true);
  }

  /** In reach of the managers. */
  get online(): boolean {
    return this.#link.online;
  }

  /** Versions of the programs that run. */
  get running(): string[] {
    return this.#device.running.map((id) => versionOf(this.#tasks.get(id)!));
  }

  /** True if a version is known to have failed here. */
  hasProvedBad(version: string): boolean {
    return this.#proved.has(version);
  }

  goOffline(): void {
    this.#link.goOffline();
  }

  /** Every program dies; what the agent has written down stays. */
  losePower(): void {
    if (!this.#powered) return;
    this.#world.log.note(`${this.name} loses its power`);
    this.#powered = false;
    this.#die(false);
  }

  restorePower(): void {
    if (this.#powered) return this.#link.goOnline();
    this.#powered = true;
    const locked = this.#random.chance(LOCKED_SHARE) && !this.#world.calm;
    if (locked) this.#lockedUntilMs = this.#world.now + this.#random.next() * LOCKED_MS;
    this.#world.spawn(this.#boot());
  }

  /** The agent is killed, and started again at once. */
  #killAgent(life: number): void {
    if (life !== this.#host.life || this.#world.calm) return;
    this.#world.log.note(`${this.name}: the agent is killed`);
    this.#die(true);
    this.#world.spawn(this.#boot());
  }

  #die(powered: boolean): void {
    this.#link.goOffline();
    this.#host.crash(powered);
    this.#kv.crash();
    this.#worker = this.#reporter = this.#state = undefined;
    if (!powered) this.#device.powerOff();
  }

  async #boot(): Promise<void> {
    const life = this.#host.boot(), clock = this.#host.clock();
    const state = await LocalState.load(this.#kv.open());
    if (life !== this.#host.life) return;
    this.#state = state;
    const reporter = this.#reporter = new StatusReporter(clock);
    const executor = tiedTo(this.#host, this.#executor());
    this.#worker = new Worker({
      clock,
      state,
      executors: [executor],
      dependencies: new DependencyKeeper(state),
      bootID: this.#device.bootID,
      deviceFacts: () => Promise.resolve(this.#facts(clock.now())),
      node: () => Promise.reject(new CoveyError("internal", "Cannot fill in: there are no placeholders")),
      onStatus: (taskID, status) => {
        reporter.report(taskID, status);
        this.#remember(state);
      },
    });
    this.#worker.start();
    this.#link.goOnline();
    this.#world.queue.after(this.#random.next() * AGENT_LIFE_MS, () => this.#killAgent(life));
  }

  #facts(nowMs: number): DeviceFacts {
    const isLocked = this.#world.now < this.#lockedUntilMs && !this.#world.calm;
    return {
      nowMs,
      opensAt,
      platform: { OS: "linux", Architecture: "arm64" },
      freeDiskBytes: undefined,
      availableMemoryBytes: undefined,
      lock: isLocked ? { text: "", writtenMs: nowMs } : undefined,
      consent: [],
    };
  }

  /** Once it is on the disk that a version failed, nobody has an excuse. */
  #remember(state: LocalState): void {
    void state.flush().then(() => {
      if (this.#state !== state) return;
      for (const task of this.#tasks.values()) {
        if (state.badVersions.has(versionHash(task))) this.#proved.add(versionOf(task));
        else this.#proved.delete(versionOf(task));
      }
    }, () => {});
  }

  #connected(): void {
    const worker = this.#worker, reporter = this.#reporter;
    if (worker === undefined || reporter === undefined) return;
    this.#complete = [];
    worker.setConnected(true);
    reporter.connect((updates) => this.#link.report(updates), worker.statuses());
  }

  #disconnected(): void {
    this.#worker?.setConnected(false);
    this.#reporter?.disconnect();
  }

  #take({ Type, Changes, Index, More }: AssignmentsMessage): void {
    for (const change of Changes) {
      if (change.Kind === "task" && change.Action === "update") this.#tasks.set(change.Task.ID, change.Task);
    }
    if (Type === "incremental") return this.#worker?.applyIncremental(Changes, Index);
    this.#complete.push(...Changes);
    if (!More) this.#worker?.applyComplete(this.#complete.splice(0), Index);
  }

  #executor() {
    const device = this.#device, mock = createMockExecutor(device);
    const controller = (task: Task) => {
      this.#tasks.set(task.ID, task);
      return Promise.resolve(new MockController(device, task.ID, this.#script(versionOf(task))));
    };
    return {
      name: "simulated",
      runtime: "process",
      capabilities: ["sweep"] as const,
      describe: mock.describe.bind(mock),
      sweep: mock.sweep.bind(mock),
      close: () => Promise.resolve(),
      controller,
      recover: (task: Task) =>
        device.programs.has(task.ID)
          ? controller(task)
          : Promise.reject(new CoveyError("not_found", `Cannot recover ${task.ID}: nothing is left of it`)),
    };
  }

  /** What becomes of a version here. */
  #script(version: string): MockScript {
    const random = this.#random, kind = kindOf(version), { least, most } = CALL_MS;
    const call = () => least + random.next() * (most - least);
    const script: MockScript = { PrepareMs: call(), StartMs: call() };
    if (kind === "refuses") return { ...script, FailAt: "start", Error: "it does not start" };
    if (kind === "hangs") return { ...script, BlockStart: true };
    const dies = kind === "dies" || (kind === "good" && !this.#isHealthy(version));
    return dies ? { ...script, RunMs: random.pick(LIFE_MS), ExitCode: 1 } : script;
  }

  #isHealthy(version: string): boolean {
    return kindOf(version) === "good" && !isBroken(version, this.name);
  }

  #starts(taskID: string): void {
    this.started++;
    const task = this.#tasks.get(taskID)!, version = versionOf(task), { Swap } = task;
    const before = Swap && this.#tasks.get(Swap.With);
    this.wasHealthy ||= this.#isHealthy(version) && (!before || this.#isHealthy(versionOf(before)));
    if (Swap && !Swap.StartFirst && this.#device.running.includes(Swap.With)) {
      this.#world.fail(new Violation("ONE", `${version} runs on ${this.name} beside the one before it`));
    }
    if (Swap && !Swap.Retry && this.#proved.has(version)) {
      this.#world.fail(
        new Violation("BAD", `${version} failed on ${this.name}, and is brought in there again`),
      );
    }
    if (kindOf(version) !== "kills") return;
    // Whatever becomes of the agent meanwhile.
    const { bootID } = this.#device;
    this.#world.queue.after(this.#random.pick(KILLER_LIFE_MS), () => {
      if (bootID !== this.#device.bootID || !this.#device.running.includes(taskID)) return;
      this.losePower();
      this.#world.queue.after(this.#random.pick(KILLED_MS), () => this.restorePower());
    });
  }
}
