/**
 * One rolling update of one service, as steps over the store's state. Its `UpdateStatus.State`, which a new spec clears:
 *
 *     (none) --> updating --> completed
 *                 |    |
 *                 |    '--> paused                    too many tasks failed
 *                 v                                   the same, `FailureAction: rollback`, or by hand
 *                rollback_started --> rollback_completed
 *                      '--> rollback_paused           too many tasks failed again
 *
 * A dirty slot is queued, then in flight until its new task runs or need not be waited for, and takes up its place for the
 * delay after that.
 */
import { clusterOf } from "../cluster/cluster_object.ts";
import { toMs } from "../../api/duration.ts";
import { type CancelTimer, timestamp } from "../../api/clock.ts";
import type { CoveyError } from "../../api/errors.ts";
import type { Service, UpdateConfig, UpdateStatus } from "../../api/service.ts";
import { isNodeBound, slotKey, type Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { ReadView, WriteTransaction } from "../store/store.ts";
import type { ComponentOptions } from "../leader/commit_loop.ts";
import type { DelayedStart, RestartSupervisor } from "../restart/restart_supervisor.ts";
import { isStopped, isTaskDirty, isWanted, newTask, placeOf, withDesired } from "../task/task.ts";

/** Milliseconds that a new task is watched for failure, unless the update config says otherwise. */
const DEFAULT_MONITOR_MS = 5000;

/**
 * A slot being replaced: `newTaskID` must reach `running`; from `doneAt` (monotonic) on the slot only waits
 * out the delay.
 */
interface Flight {
  newTaskID: string;
  doneAt: number | undefined;
}

/** The update config in force, defaults filled in. Times in milliseconds. */
interface Policy {
  parallelism: number;
  delayMs: number;
  monitorMs: number;
  action: NonNullable<UpdateConfig["FailureAction"]>;
  ratio: number;
  startFirst: boolean;
  rollback: boolean;
  /** For how long an old task is kept beside a new one that runs: while a failure would bring the old one back. */
  keepOldMs: number;
}

function policyOf(service: Service): Policy {
  const rollback = service.UpdateStatus?.State === "rollback_started";
  const config = rollback ? service.Spec.RollbackConfig : service.Spec.UpdateConfig;
  const delayMs = toMs(config?.Delay, 0);
  const monitorMs = toMs(config?.Monitor || undefined, DEFAULT_MONITOR_MS);
  const watchMs = delayMs >= monitorMs ? delayMs + 1000 : monitorMs;
  const parallelism = config?.Parallelism ?? 1;
  const action = config?.FailureAction ?? "pause";
  const startFirst = config?.Order === "start-first";
  return {
    parallelism: parallelism === 0 ? Infinity : parallelism,
    delayMs,
    monitorMs: watchMs,
    action,
    ratio: config?.MaxFailureRatio ?? 0,
    startFirst,
    rollback,
    keepOldMs: startFirst && action === "rollback" && !rollback ? watchMs : 0,
  };
}

/** True if `tasks`, the live tasks of one slot, are not exactly one task of the service's present spec. */
export function isSlotDirty(view: ReadView, service: Service, tasks: readonly Task[]): boolean {
  const [task] = tasks;
  if (task === undefined) return false;
  return tasks.length > 1 || isTaskDirty(view, service, task);
}

/** An update in progress. `step` is called again whenever something it waits for may have happened. */
export class UpdateRun {
  #policy: Policy;
  #queue: Task[] = [];
  #seen = new Set<string>();
  #flights = new Map<string, Flight>();
  /** Tasks made by this run, with the monotonic time at which they were first seen running. */
  #made = new Map<string, number | undefined>();
  #failed = new Set<string>();
  /** New tasks that run, with the monotonic time at which the old tasks beside them are ended. */
  readonly #proving = new Map<string, number>();
  /** Slots whose writes failed: whether they were committed all the same is seen when their turn comes again. */
  readonly #doubtful = new Set<string>();
  #lastRunningAt = 0;
  #timer: { at: number; cancel: CancelTimer } | undefined;

  constructor(
    readonly options: ComponentOptions,
    readonly supervisor: RestartSupervisor,
    readonly service: Service,
    /** Asks for another `step`. */
    readonly wake: () => void,
  ) {
    this.#policy = policyOf(service);
  }

  /** True if `service` asks for what this run works towards. */
  serves(service: Service): boolean {
    return service.SpecVersion.Index === this.service.SpecVersion.Index &&
      (service.UpdateStatus?.State === "rollback_started") === this.#policy.rollback;
  }

  /** Adds dirty slots, each as the list of its live tasks; one that the run has had before is left out. */
  add(slots: readonly (readonly Task[])[]): void {
    for (const [task] of slots) {
      if (task === undefined) continue;
      const key = slotKey(task);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.#queue.push(task);
    }
  }

  /** Drops timers; the run must not be stepped any more. */
  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Looks at a changed task of the service; true if the run must be stepped. */
  observe(task: Task): boolean {
    if (!this.#made.has(task.ID)) return false;
    const state = task.Status.State;
    const now = this.options.clock.monotonic();
    const runningAt = this.#made.get(task.ID);
    if (runningAt === undefined && state === "running") {
      this.#made.set(task.ID, now);
      this.#lastRunningAt = now;
      return true;
    }
    // A task stopped on request or lost with its device says nothing about the new spec.
    const ended = isTerminal(state) && state !== "shutdown" && state !== "orphaned";
    if (ended && (runningAt === undefined || now - runningAt <= this.#policy.monitorMs)) {
      this.#failed.add(task.ID);
    }
    return isTerminal(state) || !isWanted(task);
  }

  /** Goes on as far as possible; true once the run is over. */
  async step(): Promise<boolean> {
    const { store } = this.options;
    const service = store.get("services", this.service.ID);
    if (service === undefined || !this.serves(service)) return true;
    if (service.UpdateStatus === undefined) {
      await this.#setStatus({ State: "updating", Message: "update in progress" }, { start: true });
    }
    await this.#land();
    if (await this.#actOnFailures()) return true;
    await this.#launch();
    if (this.#queue.length > 0 || this.#flights.size > 0 || this.#proving.size > 0) return false;
    return await this.#finish(service);
  }

  /** Ends flights whose new task runs, or cannot be waited for; frees them after the delay. */
  async #land(): Promise<void> {
    const { store, clock } = this.options;
    const now = clock.monotonic();
    for (const flight of this.#flights.values()) {
      if (flight.doneAt !== undefined) continue;
      const task = store.get("tasks", flight.newTaskID);
      if (!this.#isDone(task)) continue;
      flight.doneAt = now;
      if (task?.Status.State === "running") this.#proving.set(task.ID, now + this.#policy.keepOldMs);
    }
    await this.#endOld(now);
    for (const [key, { doneAt }] of this.#flights) {
      if (doneAt === undefined) continue;
      const freeAt = doneAt + this.#policy.delayMs;
      if (freeAt <= now || this.#queue.length === 0) this.#flights.delete(key);
      else this.#wakeAt(freeAt);
    }
  }

  /** Ends the old tasks beside new ones that have proven themselves. They are due until they are known to be told. */
  async #endOld(now: number): Promise<void> {
    const due = [...this.#proving].filter(([, at]) => at <= now).map(([taskID]) => taskID);
    const old = due.flatMap((taskID) => this.#besides(taskID));
    if (old.length > 0) await this.#shutDown(old);
    for (const taskID of due) this.#proving.delete(taskID);
    for (const at of this.#proving.values()) this.#wakeAt(at);
  }

  /** The wanted tasks in the slot of a task that runs; none if it does not run any more. */
  #besides(taskID: string): string[] {
    const { store } = this.options;
    const task = store.get("tasks", taskID);
    if (task?.Status.State !== "running" || !isWanted(task)) return [];
    const inSlot = store.find("tasks", "slot", slotKey(task));
    return inSlot.filter((other) => other.ID !== taskID && isWanted(other)).map((other) => other.ID);
  }

  /**
   * A task that was superseded, or whose device is not there, is not waited for: it converges when the device
   * returns.
   */
  #isDone(task: Task | undefined): boolean {
    if (task === undefined || !isWanted(task) || compareStates(task.Status.State, "running") >= 0) {
      return true;
    }
    if (task.NodeID === "") return false;
    return this.options.store.get("nodes", task.NodeID)?.Status.State !== "ready";
  }

  async #shutDown(taskIDs: string[]): Promise<void> {
    await this.options.store.batch(taskIDs, (tx, id) => {
      const task = tx.get("tasks", id);
      if (task && isWanted(task)) tx.update("tasks", withDesired(task, "shutdown"));
    });
  }

  async #launch(): Promise<void> {
    const { store } = this.options;
    const free = this.#policy.parallelism - this.#flights.size;
    const slots = this.#queue.slice(0, Math.max(0, free));
    if (slots.length === 0) return;
    let failure: CoveyError | undefined;
    await store.batch(slots, (tx, slot) => this.#replace(tx, slot), (slot, outcome) => {
      if (!outcome.committed) {
        failure ??= outcome.error;
        this.#doubtful.add(slotKey(slot));
        return;
      }
      this.#queue.splice(this.#queue.indexOf(slot), 1);
      if (outcome.value) this.#takeOff(slot, outcome.value);
    });
    if (failure) throw failure;
    this.wake();
  }

  /** The slot's new task is committed. */
  #takeOff(slot: Task, start: DelayedStart): void {
    const { store, clock } = this.options;
    const next = store.get("tasks", start.taskID);
    this.#flights.set(slotKey(slot), { newTaskID: start.taskID, doneAt: undefined });
    if (next && compareStates(next.Status.State, "running") < 0) this.#made.set(next.ID, undefined);
    else if (next && this.#policy.keepOldMs > 0) this.#made.set(next.ID, clock.monotonic());
    if (!this.#policy.startFirst) this.supervisor.delay(start);
  }

  /** Puts a task of the present spec into the slot; undefined if there is nothing to replace any more. */
  #replace(tx: WriteTransaction, slot: Task): DelayedStart | undefined {
    const service = tx.get("services", this.service.ID);
    if (service === undefined || !this.serves(service)) return undefined;
    const live = this.supervisor.liveTasks(tx, service, tx.find("tasks", "slot", slotKey(slot)));
    if (!isSlotDirty(tx, service, live)) {
      // What this run wrote before may have been committed although the answer was lost.
      const [own] = this.#doubtful.has(slotKey(slot)) ? live : [];
      return own && isWanted(own)
        ? { taskID: own.ID, delayMs: 0, waitFor: this.#toStop(tx, own) }
        : undefined;
    }
    const clean = live.filter((task) => !isTaskDirty(tx, service, task));
    // One that runs, if any, before one that only shall: nothing that works is thrown away.
    let next = clean.find((task) => task.Status.State === "running") ??
      clean.findLast((task) => task.DesiredState === "running") ?? clean.at(-1);
    const { clock, random } = this.options;
    if (next === undefined) {
      next = newTask(service, placeOf(slot), clusterOf(tx), clock, random);
      next.DesiredState = this.#policy.startFirst ? "running" : "ready";
      tx.create("tasks", next);
    } else if (this.#policy.startFirst && next.DesiredState === "ready") {
      tx.update("tasks", withDesired(next, "running"));
    }
    const old = live.filter((task) => task.ID !== next.ID && isWanted(task));
    if (!this.#policy.startFirst) {
      for (const task of old) {
        tx.update("tasks", withDesired(task, "shutdown"));
      }
    }
    return {
      taskID: next.ID,
      delayMs: 0,
      waitFor: old.filter((task) => !isStopped(tx, task)).map((task) => task.ID),
    };
  }

  /** Tasks of the slot that `next` waits for. */
  #toStop(tx: WriteTransaction, next: Task): string[] {
    return tx.find("tasks", "slot", slotKey(next))
      .filter((task) => task.ID !== next.ID && !isWanted(task) && !isStopped(tx, task))
      .map((task) => task.ID);
  }

  /** True if the failures so far end the run: paused, or rolled back. */
  async #actOnFailures(): Promise<boolean> {
    const { action, ratio, rollback } = this.#policy;
    if (action === "continue" || this.#failed.size === 0 || this.#failed.size / this.#seen.size <= ratio) {
      return false;
    }
    const because = `due to failure or early termination of task ${[...this.#failed].at(-1)}`;
    if (action === "rollback" && !rollback && await this.#rollBack(`update rolled back ${because}`)) {
      return true;
    }
    const status: Pick<UpdateStatus, "State" | "Message"> = rollback
      ? { State: "rollback_paused", Message: `rollback paused ${because}` }
      : { State: "paused", Message: `update paused ${because}` };
    await this.#setStatus(status, {});
    return true;
  }

  /** False if there is no previous spec to go back to. */
  async #rollBack(message: string): Promise<boolean> {
    const { store, clock } = this.options;
    return await store.update((tx) => {
      const service = tx.get("services", this.service.ID);
      if (service === undefined || !this.serves(service)) return true;
      const { PreviousSpec, PreviousSpecVersion, ...rest } = service;
      if (PreviousSpec === undefined) return false;
      tx.update("services", {
        ...rest,
        Spec: PreviousSpec,
        SpecVersion: PreviousSpecVersion ?? service.SpecVersion,
        UpdateStatus: {
          State: "rollback_started",
          StartedAt: service.UpdateStatus?.StartedAt ?? timestamp(clock),
          Message: message,
        },
      });
      return true;
    });
  }

  async #finish(service: Service): Promise<boolean> {
    const now = this.options.clock.monotonic();
    const watchUntil = this.#lastRunningAt + this.#policy.monitorMs;
    if (this.#lastRunningAt > 0 && now < watchUntil) {
      this.#wakeAt(watchUntil);
      return false;
    }
    await completeUpdate(this.options, service);
    return true;
  }

  async #setStatus(
    status: Pick<UpdateStatus, "State" | "Message">,
    { start }: { start?: boolean },
  ): Promise<void> {
    const { store, clock } = this.options;
    await store.update((tx) => {
      const service = tx.get("services", this.service.ID);
      if (service === undefined || !this.serves(service)) return;
      const now = timestamp(clock);
      const times = start ? { StartedAt: now } : { StartedAt: service.UpdateStatus?.StartedAt ?? now };
      tx.update("services", { ...service, UpdateStatus: { ...times, ...status } });
    });
  }

  #wakeAt(at: number): void {
    if (this.#timer && this.#timer.at <= at && this.#timer.at > this.options.clock.monotonic()) return;
    this.#timer?.cancel();
    const cancel = this.options.clock.setTimer(at - this.options.clock.monotonic(), () => {
      this.#timer = undefined;
      this.wake();
    });
    this.#timer = { at, cancel };
  }
}

/** How many tasks of an update wait for a device that is not there. */
function deferredTasks(view: ReadView, service: Service): number {
  return view.find("tasks", "serviceID", service.ID).filter((task) => {
    if (!isNodeBound(task) || !isWanted(task)) return false;
    const node = view.get("nodes", task.NodeID);
    return node?.Status.State !== "ready" &&
      (isTaskDirty(view, service, task) || compareStates(task.Status.State, "running") < 0);
  }).length;
}

/** Records that an update in progress is complete; says how many devices will follow once they are back. */
async function completeUpdate(options: ComponentOptions, { ID, SpecVersion }: Service): Promise<void> {
  const { store, clock } = options;
  await store.update((tx) => {
    const service = tx.get("services", ID);
    const state = service?.UpdateStatus?.State;
    if (service === undefined || service.SpecVersion.Index !== SpecVersion.Index) return;
    if (state !== "updating" && state !== "rollback_started") return;
    const deferred = deferredTasks(tx, service);
    const done = state === "updating" ? "update completed" : "rollback completed";
    const tail = deferred === 0
      ? ""
      : `; ${deferred} ${deferred === 1 ? "task" : "tasks"} deferred: node not reachable`;
    tx.update("services", {
      ...service,
      UpdateStatus: {
        StartedAt: service.UpdateStatus?.StartedAt ?? timestamp(clock),
        State: state === "updating" ? "completed" : "rollback_completed",
        CompletedAt: timestamp(clock),
        Message: done + tail,
      },
    });
  });
}
