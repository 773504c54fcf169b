/** Brings the node's tasks in line with its assignments (SwarmKit `worker`): by what is wanted, never by session. */
import { type Clock, timestamp } from "../api/clock.ts";
import type { AssignmentChange } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import { isTerminal } from "../api/task_state.ts";
import type { Task, TaskStatus } from "../api/task.ts";
import type { NodeDescription } from "../api/node.ts";
import type { Executor, Handle } from "../executors/executor.ts";
import type { DependencyKeeper } from "./dependencies.ts";
import type { DeviceFacts } from "./gate.ts";
import { Leftovers } from "./leftovers.ts";
import type { LocalState, TaskRecord } from "./local_state.ts";
import { ScheduledRuns } from "./scheduled_runs.ts";
import { startLimit, StartLimiter } from "./start_limiter.ts";
import { StartOrder } from "./start_order.ts";
import { Swaps } from "./swaps.ts";
import { TaskManager } from "./task_manager.ts";
import { inOrder } from "./unsent.ts";

/** How long sets older than one seen before are refused: after that, the cluster must have been restored from a copy. */
const OLD_SET_PATIENCE_MS = 60_000;

const log = getLogger(["covey", "agent"]);

/** What a worker works with. */
export interface WorkerOptions {
  clock: Clock;
  executors: readonly Executor[];
  state: LocalState;
  dependencies: DependencyKeeper;
  /** The cluster's networks on this node; else it has none. */
  networks?: NetworkAssignments | undefined;
  /** Identifies the machine's present boot; empty if the system does not say. */
  bootID: string;
  /** See `SwapsOptions`. */
  deviceFacts?: () => Promise<DeviceFacts>;
  /** False while the clock is known to be wrong: jobs do not run by it then. */
  knowsTime?: () => boolean;
  /** See `TaskEnvironment`. */
  node: () => Promise<NodeDescription>;
  /** See `TaskEnvironment`. */
  outfit?: ((task: Task) => Promise<Task>) | undefined;
  onStatus: (taskID: string, status: TaskStatus) => void;
}

/** Takes over what is assigned of networks. */
export interface NetworkAssignments {
  applyComplete(changes: readonly AssignmentChange[]): void;
  apply(changes: readonly AssignmentChange[]): void;
  /** Removes all of them. */
  leave(): Promise<void>;
}

/** A task as those see it who look into it: at its log, for one. */
export interface TaskAccess {
  executor: Executor | undefined;
  handle: Handle | undefined;
  /** It runs no more and never will again. */
  over: boolean;
  /** With its placeholders filled in. */
  task: () => Promise<Task>;
}

/** One task manager per task. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #tasks = new Map<string, TaskManager>();
  readonly #executors: Map<string, Executor>;
  readonly #limiters = new Map<string, StartLimiter>();
  readonly #leftovers: Leftovers;
  readonly #swaps: Swaps;
  readonly #startOrder: StartOrder;
  readonly #runs: ScheduledRuns;
  readonly #watchers = new Map<string, Set<() => void>>();
  #connected = false;
  #rebooted = false;
  #refusedSince: number | undefined;
  #stopped = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#executors = new Map(options.executors.map((executor) => [executor.runtime, executor]));
    const { clock, executors, state, knowsTime = () => true } = options;
    this.#runs = new ScheduledRuns({
      clock,
      state,
      tasks: this.#tasks,
      knowsTime,
      rebooted: () => this.#rebooted,
      manage: (...run) => this.#manageRun(...run),
    });
    this.#startOrder = new StartOrder(clock, this.#tasks, (id) => this.#runs.get(id));
    const waitsFor = (id: string) => this.#startOrder.waitsFor(id);
    this.#swaps = new Swaps({ clock, state, tasks: this.#tasks, facts: options.deviceFacts, waitsFor });
    this.#leftovers = new Leftovers({
      clock,
      executors,
      has: (id) => this.#tasks.has(id) || this.#runs.has(id),
    });
  }

  /** Takes up the tasks on record: running ones are found again, those that a reboot ended are started. */
  start(): void {
    const { state, bootID } = this.#options;
    const records = [...state.tasks()];
    this.#rebooted = bootID !== "" && state.node.bootID !== "" && bootID !== state.node.bootID;
    if (bootID !== state.node.bootID) state.setNode({ bootID });
    const unsent = inOrder(records.map(({ task, unsent = [] }) => [task.ID, unsent] as const));
    for (const [taskID, status] of unsent) this.#options.onStatus(taskID, status);
    for (const record of records) {
      if (record.run === undefined) this.#manage(record, true);
      // Of a job that is gone; what it left is swept.
      else if (!records.some(({ task }) => task.ID === record.run?.of)) state.delete(record.task.ID);
    }
    for (const { task } of records) {
      this.#swaps.recovered(task.ID);
      this.#swaps.observe(task.ID);
    }
  }

  /** Says whether a manager can be reached; while none can, tasks that crash are run again in place. */
  setConnected(connected: boolean): void {
    this.#connected = connected;
    if (connected) { for (const task of this.#tasks.values()) task.connectionChanged(); }
  }

  /**
   * Applies the complete set as of consensus index `index`: tasks not in it are stopped and removed, tasks that run already
   * are left alone. Throws `failed_precondition` for a set older than one seen before.
   */
  applyComplete(changes: readonly AssignmentChange[], index: number): void {
    this.#checkIndex(index);
    const listed = new Set<string>();
    for (const change of changes) {
      if (change.Kind !== "task") continue;
      if (change.Action === "update") listed.add(change.Task.ID);
      else listed.delete(change.ID);
    }
    for (const [id, task] of this.#tasks) if (!listed.has(id)) task.remove();
    this.#options.dependencies.applyComplete(changes);
    this.#options.networks?.applyComplete(changes);
    for (const change of changes) {
      if (change.Kind === "task" && change.Action === "update" && listed.has(change.Task.ID)) {
        this.#update(change.Task);
      }
    }
    this.#seen(index);
    this.#leftovers.start();
  }

  /** Applies changes; tasks not named stay as they are. */
  applyIncremental(changes: readonly AssignmentChange[], index: number): void {
    this.#options.networks?.apply(changes);
    for (const change of changes) {
      if (change.Kind !== "task") this.#options.dependencies.apply(change);
      else if (change.Action === "update") this.#update(change.Task);
      else this.#tasks.get(change.ID)?.remove();
    }
    this.#seen(index);
  }

  /** A manager has every status of the task. */
  statusesAccepted(taskID: string): void {
    this.#tasks.get(taskID)?.statusesAccepted();
  }

  /** Tasks that the node has, those that are being removed included. */
  get size(): number {
    return this.#tasks.size;
  }

  /** True while nothing of its tasks is under way: they run, wait or have ended. */
  get isQuiet(): boolean {
    const busy = (tasks: Iterable<TaskManager>) => [...tasks].some((task) => task.isBusy);
    return !busy(this.#tasks.values()) && !busy(this.#runs.all()) && !this.#swaps.isUnderWay;
  }

  /** See {@linkcode TaskAccess}; undefined for a task that the node has not got. */
  access(taskID: string): TaskAccess | undefined {
    const task = this.#tasks.get(taskID);
    if (task === undefined) return undefined;
    const executor = this.#executors.get(task.task.Spec.Runtime);
    // Of a job that runs by the clock it is the newest run.
    const current = this.#runs.newestOf(taskID) ?? task;
    return {
      executor,
      handle: current.handle,
      over: !task.record.assigned || isTerminal(task.status.State),
      task: () => current.expanded(),
    };
  }

  /** All tasks with their newest statuses. */
  *list(): Generator<{ task: Task; status: TaskStatus }> {
    for (const { task, status } of this.#tasks.values()) yield { task, status };
  }

  /** The task that waits to take the place of this one, if there is one. */
  successorOf(taskID: string): { task: Task; status: TaskStatus } | undefined {
    for (const next of this.list()) {
      if (next.task.Swap?.With === taskID && !isTerminal(next.status.State)) return next;
    }
  }

  /** Ends the program of a task that runs, and runs it again in its place. */
  restart(taskID: string): void {
    const task = this.#tasks.get(taskID);
    if (task?.phase !== "running" || task.task.DesiredState !== "running") {
      throw new CoveyError("failed_precondition", `Cannot restart task ${taskID}: it does not run`);
    }
    task.restart();
  }

  /** Calls `wake` whenever something of the task changes. Returns how to stop that. */
  watch(taskID: string, wake: () => void): () => void {
    const watchers = this.#watchers.get(taskID) ?? new Set();
    this.#watchers.set(taskID, watchers.add(wake));
    return () => {
      if (watchers.delete(wake) && watchers.size === 0) this.#watchers.delete(taskID);
    };
  }

  /** The newest status of every task. */
  *statuses(): Generator<[string, TaskStatus]> {
    for (const [id, task] of this.#tasks) yield [id, task.status];
  }

  /** Stops and removes every task; resolves when nothing is left of them. */
  async removeAll(): Promise<void> {
    const tasks = [...this.#tasks.values()];
    for (const task of tasks) task.remove();
    await Promise.allSettled(tasks.map((task) => task.done));
    await this.#leftovers.sweep();
    await this.#options.dependencies.wipe();
    await this.#options.networks?.leave();
  }

  /** Lets go of all tasks; their programs go on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#swaps.stop();
    this.#startOrder.stop();
    await Promise.allSettled([
      this.#leftovers.stop(),
      ...[...this.#tasks.values()].map((task) => task.stop()),
    ]);
  }

  #checkIndex(index: number): void {
    const { state, clock } = this.#options;
    if (index >= state.node.index) {
      this.#refusedSince = undefined;
      return;
    }
    this.#refusedSince ??= clock.monotonic();
    if (clock.monotonic() - this.#refusedSince >= OLD_SET_PATIENCE_MS) return;
    throw new CoveyError(
      "failed_precondition",
      `Cannot take over assignments: they are as of index ${index}, but ${state.node.index} was seen before`,
      { retryable: true },
    );
  }

  /** Remembers the index along with the changes that came with it, never alone: an idle node writes nothing. */
  #seen(index: number): void {
    const { state } = this.#options;
    if (index !== state.node.index && state.writing) state.setNode({ index });
  }

  #update(task: Task): void {
    const present = this.#tasks.get(task.ID);
    if (!present) return this.#manage({ task, status: task.Status, assigned: true }, false);
    if (present.record.assigned && isSameForNode(present.task, task)) return;
    present.update(task);
    this.#swaps.observe(task.ID);
  }

  #manage(record: TaskRecord, recovered: boolean): void {
    const { state, onStatus } = this.#options, { ID } = record.task, common = this.#common(record);
    const executor = this.#runs.executorFor(record.task, common.executor),
      isRun = executor === common.executor;
    if (!recovered) state.put(record);
    const task: TaskManager = new TaskManager(record, recovered, {
      ...common,
      executor,
      connected: () => this.#connected,
      hold: () => this.#swaps.holdOf(ID),
      isTrial: () => this.#swaps.isTrial(ID),
      // Of a job that runs by the clock each run waits by itself.
      ...(isRun && { waitsFor: () => this.#startOrder.waitsFor(ID) }),
      onRecord: (next) => {
        state.put(next);
        this.#swaps.observe(ID);
        this.#changed(ID);
      },
      onStatus,
    });
    this.#tasks.set(ID, task);
    if (!recovered) this.#swaps.observe(ID);
    this.#changed(ID);
    task.done.then(() => this.#forget(task), (thrown) => this.#setAside(task, CoveyError.from(thrown)));
  }

  /** Runs a scheduled job once. No manager decides what follows: its policy does, as far as it asks for more. */
  #manageRun(record: TaskRecord, recovered: boolean, onStatus: (status: TaskStatus) => void): TaskManager {
    const { ID } = record.task;
    return new TaskManager(record, recovered, {
      ...this.#common(record),
      connected: () => false,
      waitsFor: () => this.#startOrder.waitsFor(ID),
      onRecord: (next) => {
        this.#options.state.put(next);
        this.#changed(record.run!.of);
      },
      onStatus: (_, status) => onStatus(status),
    });
  }

  /** What every task manager works with. */
  #common({ task }: TaskRecord) {
    const { clock, dependencies, node, outfit } = this.#options, { ID, Spec: { Runtime } } = task;
    return {
      clock,
      executor: this.#executors.get(Runtime),
      limiter: this.#limiter(Runtime),
      dependencies: dependencies.forTask(() => this.#tasks.get(ID)?.task ?? task, node),
      node,
      outfit,
      rebooted: this.#rebooted,
    };
  }

  /** A fault of ours stays with its task: the manager hears that it failed, and replaces it. */
  #setAside(task: TaskManager, { message }: CoveyError): void {
    const { ID } = task.task, { clock, onStatus } = this.#options;
    log.error("Cannot go on with task {id}, which is set aside: {message}", { id: ID, message });
    if (!this.#stopped && !isTerminal(task.status.State)) {
      const Timestamp = timestamp(clock), Message = "set aside by the agent";
      onStatus(ID, { ...task.status, Timestamp, State: "failed", Message, Err: message });
    }
    this.#forget(task);
  }

  #forget({ task: { ID } }: TaskManager): void {
    if (this.#stopped) return;
    this.#tasks.delete(ID);
    this.#options.state.delete(ID);
    this.#swaps.observe(ID);
    this.#changed(ID);
  }

  #changed(taskID: string): void {
    this.#startOrder.observe();
    for (const wake of [...this.#watchers.get(taskID) ?? []]) wake();
  }

  #limiter(runtime: string): StartLimiter {
    let limiter = this.#limiters.get(runtime);
    if (!limiter) {
      limiter = new StartLimiter(this.#options.clock, startLimit(runtime));
      this.#limiters.set(runtime, limiter);
    }
    return limiter;
  }
}

/** What changes of a task, its spec by a reload included, raises its version. */
function isSameForNode(a: Task, b: Task): boolean {
  return a.Version.Index === b.Version.Index || (a.DesiredState === b.DesiredState &&
    JSON.stringify([a.Spec, a.ServiceAnnotations, a.Ports, a.AssignedGenericResources, a.Swap]) ===
      JSON.stringify([b.Spec, b.ServiceAnnotations, b.Ports, b.AssignedGenericResources, b.Swap]));
}
