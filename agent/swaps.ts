/**
 * Carries out the swaps of a device: begins them, watches the new task, and says how they end. What it decides is on the
 * disk before it has an effect; `swap.ts` says what follows from that.
 */
import { type CancelTimer, type Clock, timestamp } from "../api/clock.ts";
import { toMs } from "../api/duration.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { SwapReport } from "../api/swap.ts";
import type { Task } from "../api/task.ts";
import { versionHash } from "./bad_versions.ts";
import { type DeviceFacts, whyNotBegin, whyNotPrepare } from "./gate.ts";
import type { LocalState } from "./local_state.ts";
import { type Hold, holdOfNext, holdOfOld, isAlive, isTrial } from "./swap.ts";
import type { TaskManager } from "./task_manager.ts";

/**
 * Agents that may have a hand in one swap: power that fails, or a device that falls over, as often as that while the new
 * version is watched has to do with the new version, for all that is known.
 */
const MAX_STARTS = 5;

/** While a swap waits, what it waits for is looked at this often: a lock that was lifted holds nobody up for longer. */
const LOOK_PERIOD_MS = 10_000;

const log = getLogger(["covey", "agent"]);

/** What it works with. */
export interface SwapsOptions {
  clock: Clock;
  state: LocalState;
  /** The device's tasks by ID. */
  tasks: ReadonlyMap<string, TaskManager>;
  /** What stands against a swap is judged by it; without it, nothing on the device does. */
  facts: (() => Promise<DeviceFacts>) | undefined;
  /** What of the device a task would have to wait for, in words. */
  waitsFor: (taskID: string) => string | undefined;
}

/** What is under way in memory for one swap. */
interface Watch {
  /** Its beginning is on the disk, or on its way there; or it is, and that one more agent has a hand in it is on its way. */
  begun: "writing" | "counting" | "written" | undefined;
  /** The new task may be made ready. */
  mayPrepare: boolean;
  /** A look at the device is under way. */
  judging: boolean;
  /** Until the device is looked at again. */
  again: CancelTimer | undefined;
  /** Until the new task must run. */
  deadline: CancelTimer | undefined;
  /** Until it has proved itself. */
  monitor: CancelTimer | undefined;
}

/** The swaps of one device. */
export class Swaps {
  readonly #options: SwapsOptions;
  /** By the ID of the new task. */
  readonly #watches = new Map<string, Watch>();
  readonly #dirty = new Set<string>();
  #stopped = false;

  constructor(options: SwapsOptions) {
    this.#options = options;
  }

  /** A task from before the agent started is taken up. */
  recovered(id: string): void {
    const next = this.#options.tasks.get(id), swap = next?.record.swap;
    if (!next || !swap?.begun || swap.proven) return;
    const watch = newWatch("counting");
    this.#watches.set(id, watch);
    next.keepSwap({ ...swap, starts: swap.starts + 1 });
    // A disk that takes nothing more must not keep the device from having a version at all.
    this.#options.state.flush().catch(() => {}).finally(() => {
      watch.begun = "written";
      this.observe(id);
    });
  }

  /** What task `id` may do now. */
  holdOf(id: string): Hold {
    const task = this.#options.tasks.get(id);
    if (task === undefined || this.#watches.size === 0) return undefined;
    let hold: Hold;
    for (const nextID of this.#watches.keys()) {
      const next = this.#options.tasks.get(nextID);
      if (next?.task.Swap?.With !== id || this.#watches.get(nextID)?.begun === "writing") continue;
      const of = holdOfOld(next.record);
      if (of === "end" || hold === undefined) hold = of;
    }
    if (hold !== undefined || task.task.Swap === undefined) return hold;
    const watch = this.#watches.get(id);
    if (watch?.begun === "writing") return "prepare";
    // A device that falls over with each start would not get further in counting them.
    if (watch?.begun === "counting") return "wait";
    const may = holdOfNext(task.record, this.#oldOf(task)?.record);
    return may === "prepare" && !task.record.swap?.begun && !watch?.mayPrepare ? "wait" : may;
  }

  /** True while the end of task `id` is the end of its swap. */
  isTrial(id: string): boolean {
    const next = this.#options.tasks.get(id);
    return next?.task.Swap !== undefined && isTrial(next.record, this.#oldOf(next)?.record);
  }

  /** True while a new version is brought in or watched: each agent that has a hand in that counts. */
  get isUnderWay(): boolean {
    const { tasks } = this.#options;
    return [...this.#watches.keys()].some((id) => this.isTrial(id) && isAlive(tasks.get(id)!.record));
  }

  /** Something about task `id` changed, or it is gone. */
  observe(id: string): void {
    const task = this.#options.tasks.get(id);
    if (task?.task.Swap !== undefined && !this.#watches.has(id)) {
      this.#watches.set(id, newWatch(undefined));
    }
    if (this.#watches.size === 0) return;
    if (task === undefined) this.#drop(id);
    else this.#remember(task);
    for (const nextID of this.#watches.keys()) {
      if (nextID === id || this.#options.tasks.get(nextID)?.task.Swap?.With === id) this.#dirty.add(nextID);
    }
    // The end of a task that is gone may let another go on.
    if (task === undefined) { for (const other of this.#options.tasks.values()) other.poke("waiting"); }
    if (this.#dirty.size > 0) queueMicrotask(() => this.#lookAtDirty());
  }

  /** Nothing is begun or ended any more. */
  stop(): void {
    this.#stopped = true;
    for (const id of [...this.#watches.keys()]) this.#drop(id);
  }

  #oldOf(next: TaskManager): TaskManager | undefined {
    return this.#options.tasks.get(next.task.Swap?.With ?? "");
  }

  #drop(id: string): void {
    const watch = this.#watches.get(id);
    if (watch) this.#rest(watch);
    this.#watches.delete(id);
    this.#dirty.delete(id);
  }

  /** Noted in the turn, and so in the transaction, in which the end of the new task is. */
  #remember(next: TaskManager): void {
    const { task, record: { status, swap } } = next;
    if (status.State !== "failed" || status.Swap?.Kind !== "rolled_back" || swap?.noted) return;
    next.keepSwap({ starts: 0, ...swap, noted: true });
    const { state, clock } = this.#options, hash = versionHash(task);
    if (state.badVersions.has(hash)) return;
    const { ServiceAnnotations: { Name }, ServiceID } = task, Reason = status.Swap.Reason;
    log.warn("Going back to the version of {service} before: {reason}", { service: Name, reason: Reason });
    state.putBadVersion(hash, { ServiceID, At: timestamp(clock), Reason });
  }

  #lookAtDirty(): void {
    const ids = [...this.#dirty];
    this.#dirty.clear();
    for (const id of ids) {
      const next = this.#options.tasks.get(id), watch = this.#watches.get(id);
      if (next && watch && !this.#stopped) this.#look(next, watch);
    }
  }

  /** Goes on with one swap as far as it is. */
  #look(next: TaskManager, watch: Watch): void {
    const { record } = next, { swap } = record, old = this.#oldOf(next);
    // It may go on with what it waited for.
    next.poke("waiting");
    old?.poke("starting");
    if (!isAlive(record) || swap?.proven || !old || !isAlive(old.record)) return this.#rest(watch);
    if (!swap?.begun) return void this.#judge(next, watch);
    if (watch.begun !== "written") return;
    if (swap.starts > MAX_STARTS) {
      return next.giveUp(`the device started anew ${swap.starts - 1} times meanwhile`);
    }
    if (next.phase === "running") this.#watchRunning(next, watch);
    else this.#watchStarting(next, watch);
  }

  #rest(watch: Watch): void {
    for (const cancel of [watch.again, watch.deadline, watch.monitor]) cancel?.();
    watch.again = watch.deadline = watch.monitor = undefined;
  }

  #watchStarting(next: TaskManager, watch: Watch): void {
    const ms = toMs(next.task.Swap!.Deadline, 0);
    watch.deadline ??= this.#options.clock.setTimer(ms, () => {
      if (next.phase !== "running") next.giveUp(`not healthy within ${ms / 1000} s`);
    });
  }

  #watchRunning(next: TaskManager, watch: Watch): void {
    watch.deadline?.();
    watch.deadline = () => {};
    watch.monitor ??= this.#options.clock.setTimer(toMs(next.task.Swap!.Monitor, 0), () => {
      const { record } = next;
      if (next.phase !== "running" || !isAlive(record)) return;
      next.keepSwap({ ...record.swap!, proven: true });
      // The agent that was told to try it again may not have lived to forget it.
      this.#options.state.deleteBadVersion(versionHash(next.task));
    });
  }

  /** Looks at the device, and begins if nothing stands against it. */
  async #judge(next: TaskManager, watch: Watch): Promise<void> {
    if (watch.judging) return;
    watch.judging = true;
    let facts: DeviceFacts | undefined;
    try {
      facts = await this.#options.facts?.();
    } catch (thrown) {
      log.warn("Cannot look whether a new version may be brought in: {message}", {
        message: CoveyError.from(thrown).message,
      });
    }
    watch.judging = false;
    const old = this.#oldOf(next);
    const isOver = this.#watches.get(next.task.ID) !== watch || watch.begun !== undefined;
    if (this.#stopped || isOver || !old || !isAlive(old.record) || !isAlive(next.record)) return;
    watch.again?.();
    watch.again = this.#options.clock.setTimer(LOOK_PERIOD_MS, () => void this.#judge(next, watch));
    const bad = this.#remembered(next), closed = facts && whyNotPrepare(next.task, facts);
    watch.mayPrepare = bad === undefined && closed === undefined;
    const report = bad ?? (next.phase === "ready" ? undefined : closed) ??
      (facts && whyNotBegin(next.task, old.task, this.#others(next, old), facts)) ?? this.#early(next);
    next.report(report);
    next.poke("waiting");
    if (!report && next.phase === "ready" && next.task.DesiredState === "running") this.#begin(next, watch);
  }

  /** The old version goes on until the new one could start. */
  #early({ task }: TaskManager): SwapReport | undefined {
    const why = this.#options.waitsFor(task.ID);
    return why === undefined ? undefined : { Kind: "ineligible", Reason: why };
  }

  /** What else runs on the device. */
  #others(next: TaskManager, old: TaskManager): Task[] {
    return [...this.#options.tasks.values()]
      .filter((task) => task !== next && task !== old && isAlive(task.record)).map(({ task }) => task);
  }

  #remembered({ task }: TaskManager): SwapReport | undefined {
    if (task.Swap?.Retry) return undefined;
    const bad = this.#options.state.badVersions.get(versionHash(task));
    return bad && { Kind: "remembered_bad", Reason: `it failed on this device at ${bad.At}: ${bad.Reason}` };
  }

  #begin(next: TaskManager, watch: Watch): void {
    const { state } = this.#options;
    watch.again?.();
    watch.again = undefined;
    watch.begun = "writing";
    next.keepSwap({ begun: true, starts: 1 });
    state.flush().then(() => {
      watch.begun = "written";
      if (next.task.Swap?.Retry) state.deleteBadVersion(versionHash(next.task));
    }, (thrown) => {
      // What is not on the disk would not be known after a power cut.
      watch.begun = undefined;
      next.keepSwap(undefined);
      next.report({ Kind: "ineligible", Reason: CoveyError.from(thrown).message });
    }).finally(() => this.observe(next.task.ID));
  }
}

function newWatch(begun: Watch["begun"]): Watch {
  return {
    begun,
    mayPrepare: false,
    judging: false,
    again: undefined,
    deadline: undefined,
    monitor: undefined,
  };
}
