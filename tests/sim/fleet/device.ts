/** A device of a fleet: it does what an agent would with what it is assigned, and its programs are pretended. */
import type { AssignmentsMessage } from "../../../api/dispatcher.ts";
import type { Task } from "../../../api/task.ts";
import { compareStates, isTerminal, type TaskState } from "../../../api/task_state.ts";
import { START_MS, type World } from "../cluster/world.ts";
import { Violation } from "../raft/checker.ts";
import type { SeededRandom } from "../raft/random.ts";
import { DeviceLink } from "./device_link.ts";
import type { Managers } from "./managers.ts";
import { isBroken, kindOf, versionOf } from "./versions.ts";

/** What an agent takes for one step of a task, milliseconds. */
const STEP_MS = { least: 50, most: 800 };
/** How long a program lives that ends by itself. */
const LIFE_MS = [200, 5_000, 25_000];
/** The same of one that kills its device, which is missed within the monitor period, and for how long that is gone. */
const KILLER_LIFE_MS = [200, 5_000], KILLED_MS = [5_000, 60_000, 600_000];
/** Before statuses are sent again that a manager did not take. */
const TELL_AGAIN_MS = 2_000;

interface Program {
  task: Task;
  state: TaskState;
  /** What the managers are known to have heard. */
  told: TaskState;
  /** A step is being made. */
  busy: boolean;
}

/** One device. */
export class FleetDevice {
  readonly #link: DeviceLink;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #programs = new Map<string, Program>();
  /** Programs started so far. */
  started = 0;
  #powered = true;
  #boots = 0;
  #telling = false;

  constructor(readonly name: string, world: World, managers: Managers) {
    this.#world = world;
    this.#random = world.fork();
    this.#link = new DeviceLink(name, world, managers, {
      connected: () => void this.#tell(),
      assigned: (message) => this.#take(message),
    });
  }

  /** In reach of the managers. */
  get online(): boolean {
    return this.#link.online;
  }

  goOnline(): void {
    if (this.#powered) this.#link.goOnline();
  }

  goOffline(): void {
    this.#link.goOffline();
  }

  /** Every program dies; what the agent has written down stays. */
  losePower(): void {
    if (!this.#powered) return;
    this.#world.log.note(`${this.name} loses its power`);
    this.#powered = false;
    this.#boots++;
    this.goOffline();
    for (const program of this.#programs.values()) {
      program.busy = false;
      if (program.state === "running") program.state = "failed";
    }
  }

  restorePower(): void {
    this.#powered = true;
    this.goOnline();
    for (const program of this.#programs.values()) this.#advance(program);
  }

  /** Versions of the programs that run. */
  get running(): string[] {
    const running = [...this.#programs.values()].filter(({ state }) => state === "running");
    return running.map(({ task }) => versionOf(task));
  }

  #take({ Type, Changes }: AssignmentsMessage): void {
    const named = new Set<string>();
    for (const change of Changes) {
      if (change.Kind !== "task") continue;
      if (change.Action === "remove") {
        this.#programs.delete(change.ID);
        continue;
      }
      const { Task: task } = change;
      named.add(task.ID);
      const known = this.#programs.get(task.ID);
      const { State } = task.Status;
      const program = known ?? { task, state: State, told: State, busy: false };
      program.task = task;
      if (!known && State === "running") {
        // Its manager has heard that it runs, and its device does not know of it.
        this.#world.fail(new Violation("TM", `${this.name} is given task ${task.ID}, which runs already`));
      }
      this.#programs.set(task.ID, program);
      this.#advance(program);
    }
    if (Type !== "complete") return;
    for (const id of this.#programs.keys()) if (!named.has(id)) this.#programs.delete(id);
  }

  /** Makes the next step towards what is desired, if there is one. */
  #advance(program: Program): void {
    const { task: { DesiredState }, state, busy } = program;
    if (busy || isTerminal(state) || !this.#powered) return;
    if (compareStates(DesiredState, "running") > 0) {
      this.#step(program, () => this.#set(program, "shutdown"));
    } else if (compareStates(state, "ready") < 0) {
      this.#step(program, () => this.#set(program, "ready"));
    } else if (DesiredState === "running" && compareStates(state, "running") < 0) {
      this.#step(program, () => this.#start(program));
    }
  }

  #step(program: Program, then: () => void): void {
    program.busy = true;
    const { least, most } = STEP_MS;
    this.#later(least + this.#random.next() * (most - least), () => {
      program.busy = false;
      then();
      this.#advance(program);
    });
  }

  /** Unless the power fails before. */
  #later(delayMs: number, run: () => void): void {
    const boots = this.#boots;
    this.#world.queue.after(delayMs, () => boots === this.#boots && run());
  }

  #start(program: Program): void {
    const version = versionOf(program.task), kind = kindOf(version);
    if (compareStates(program.task.DesiredState, "running") > 0) return;
    if (kind === "refuses") return this.#set(program, "failed");
    // It stays where it is until it is told to stop.
    if (kind === "hangs") return this.#hang(program);
    this.started++;
    this.#set(program, "running");
    const lifeMs = this.#random.pick(kind === "kills" ? KILLER_LIFE_MS : LIFE_MS);
    const backMs = this.#random.pick(KILLED_MS);
    if (kind === "good" && !isBroken(version, this.name)) return;
    this.#later(lifeMs, () => {
      if (program.state !== "running") return;
      if (kind !== "kills") return this.#set(program, "failed");
      this.losePower();
      this.#world.queue.after(backMs, () => this.restorePower());
    });
  }

  #hang(program: Program): void {
    program.state = "starting";
    void this.#tell();
    program.busy = true;
    const look = () => {
      if (compareStates(program.task.DesiredState, "running") <= 0) return this.#later(STEP_MS.most, look);
      program.busy = false;
      this.#advance(program);
    };
    look();
  }

  #set(program: Program, state: TaskState): void {
    program.state = state;
    void this.#tell();
  }

  /** Reports what the managers have not heard, until they have. */
  async #tell(): Promise<void> {
    if (this.#telling) return;
    this.#telling = true;
    while (this.online) {
      const untold = [...this.#programs].filter(([, { state, told }]) => state !== told);
      if (untold.length === 0) break;
      const Timestamp = new Date(START_MS + this.#world.now).toISOString();
      const sent = untold.map(([TaskID, { state }]) => ({
        TaskID,
        Status: { Timestamp, State: state, Message: state },
      }));
      try {
        await this.#link.report(sent);
        for (const [nth, [, program]] of untold.entries()) program.told = sent[nth]!.Status.State;
      } catch {
        await this.#world.sleep(TELL_AGAIN_MS);
      }
    }
    this.#telling = false;
  }
}
