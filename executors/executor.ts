/**
 * The contract between the agent and whatever runs tasks (SwarmKit `agent/exec`).
 *
 * An executor describes its part of the node and makes one controller per task. The agent's `advance()` makes one controller
 * call at a time and owns the task's state; an executor never decides a state. Errors are `CoveyError`s: `retryable` says whether
 * the same call can help later; any other error ends the task (rejected before `start`, failed from `start` on).
 */
import type { DependencyKind } from "../api/dependency.ts";
import { CoveyError } from "../api/errors.ts";
import type { LogEntry, LogStream } from "../api/logs.ts";
import type { InputFrame, OutputFrame } from "../api/stream_frames.ts";
import type { StreamUse } from "../api/streams.ts";
import type { NodeDescription } from "../api/node.ts";
import type { PortConfig } from "../api/service.ts";
import type { ContainerStatus, Task } from "../api/task.ts";
import type { OverlayNetworks } from "./overlay_networks.ts";

/**
 * What an executor adds to the node's description; the agent merges the parts of all executors.
 *
 * @example
 * ```ts
 * const part: ExecutorDescription = {
 *   Platform: { OS: "linux", Architecture: "arm64" },
 *   Resources: { NanoCPUs: 4e9, MemoryBytes: 2 ** 30 },
 * };
 * ```
 */
export interface ExecutorDescription {
  /** The version is that of the first who has one; labels and plugins are everybody's. */
  Engine?: Partial<NodeDescription["Engine"]>;
  Resources?: NodeDescription["Resources"];
  Platform?: NodeDescription["Platform"];
  Hostname?: string;
  /** What the device is: kernel, model, paths below /dev. */
  Facts?: NodeDescription["Facts"];
}

/**
 * What an executor can do besides running tasks: each a small interface of its own, so that an executor has what it has and
 * nothing of the rest. It names them in `capabilities`; whoever wants one asks {@linkcode can} first. To add one: its
 * interface here, its line in `Capabilities` and in `METHODS`, and in the conformance suite what every executor that names it
 * has to do.
 *
 * @example
 * ```ts
 * const mine: readonly Capability[] = ["sweep"];
 * ```
 */
export interface Capabilities {
  sweep: Sweeper;
  overlay: OverlayExecutor;
  reload: Reloader;
  logs: LogSource;
  meter: DeviceMeter;
  enter: TaskEnterer;
}

/**
 * The name of a capability.
 *
 * @example
 * ```ts
 * const capabilities: readonly Capability[] = [];
 * ```
 */
export type Capability = keyof Capabilities;

/**
 * Finds what removals have left behind: of tasks that were given up, or whose agent lost its memory.
 *
 * @example
 * ```ts
 * const left = new Set(["task1", "task2"]);
 * const sweeper: Sweeper = {
 *   sweep: (keep) => Promise.resolve([...left].filter((id) => !keep(id) && left.delete(id))),
 * };
 * console.assert((await sweeper.sweep((id) => id === "task1", new AbortController().signal))[0] === "task2");
 * ```
 */
export interface Sweeper {
  /**
   * Removes everything of this node's tasks for whose ID `keep` says false, asked right before each removal, and resolves with
   * their IDs. What cannot be removed holds up nothing else; the first reason is thrown in the end.
   */
  sweep(keep: (taskID: string) => boolean, signal: AbortSignal): Promise<string[]>;
}

/**
 * Attaches tasks to the cluster's overlay networks: those that a task's `NetworkAttachments` name, at the addresses that
 * stand there, before `start` resolves. The agent has programmed the networks before it calls `prepare`.
 *
 * @example
 * ```ts
 * const attacher: OverlayExecutor = { checkOverlay: () => Promise.resolve() };
 * await attacher.checkOverlay(new AbortController().signal);
 * ```
 */
export interface OverlayExecutor {
  /**
   * Resolves if tasks can be attached now. Else rejects with the reason, which is shown with the node: it gets no tasks that
   * need an overlay network then, and is as useful as ever for the rest.
   */
  checkOverlay(signal: AbortSignal): Promise<void>;
}

/**
 * Tells a running program of new versions of its secrets and configs.
 *
 * @example
 * ```ts
 * const reloader: Reloader = {
 *   reload: async (task, dependencies, signals) => {
 *     for (const { ConfigID } of task.Spec.ProcessSpec?.Configs ?? []) await dependencies.read("config", ConfigID);
 *     console.log(`task ${task.ID} would get ${signals}`);
 *   },
 * };
 * ```
 */
export interface Reloader {
  /**
   * Puts what `task` references now in the place of what its program finds in its files, each of them at once and whole, and
   * then sends the program's first process `signals`. Done again, it does the same again.
   */
  reload(task: Task, dependencies: Dependencies, signals: readonly string[], handle: Handle): Promise<void>;
}

/**
 * What is wanted of a log.
 *
 * @example
 * ```ts
 * const lastTen: LogRequest = { streams: ["stdout", "stderr"], follow: false, tail: 10 };
 * ```
 */
export interface LogRequest {
  streams: readonly LogStream[];
  /** Go on with what is printed from now on, until the program has ended. */
  follow: boolean;
  /** Only so many entries from the end of what is there; all if undefined. */
  tail?: number | undefined;
  /** Only entries from then on, or from after then; as `LogEntry.Time`. */
  since?: string | undefined;
  after?: string | undefined;
}

/**
 * A step of reading a log: an entry, in the order of their times as far as whoever keeps the log knows it, or, once,
 * `caught up`: what was there when it was asked for has been given.
 *
 * @example
 * ```ts
 * const step: LogStep = "caught up";
 * ```
 */
export type LogStep = Omit<LogEntry, "TaskID"> | "caught up";

/**
 * Gives what tasks have printed, and print.
 *
 * @example
 * ```ts
 * const silent: LogSource = {
 *   async *logs() {
 *     yield await Promise.resolve("caught up" as const);
 *   },
 * };
 * ```
 */
export interface LogSource {
  /**
   * The log of the task with this handle; ends as the request says. It is read as it is asked for, and what was gone before
   * it was read is shown as a gap. A task of which nothing is left has an empty one. Throws where the log cannot be read,
   * in words for who asked; aborts with the signal.
   */
  logs(handle: Handle, request: LogRequest, signal: AbortSignal): AsyncIterable<LogStep>;
}

/**
 * A task that runs, for who wants to get at what is inside.
 *
 * @example
 * ```ts
 * const of = (task: RunningTask["task"], handle: Handle): RunningTask => ({ task, handle });
 * ```
 */
export interface RunningTask {
  task: Task;
  handle: Handle;
}

/**
 * Lets somebody get at the inside of a running task: run a command there, read and write its files, reach its ports.
 *
 * @example
 * ```ts
 * const closed: TaskEnterer = {
 *   enter: () => {
 *     throw new Error("Cannot enter the task: this runtime has no inside");
 *   },
 * };
 * ```
 */
export interface TaskEnterer {
  /**
   * Does what `use` names, and gives what comes of it: `Started` once it is under way, and for a command how it ended. What is
   * put in comes from `input`, and is asked for as it is taken. Everything that it started ends when `signal` aborts or the
   * iteration is left, but for a command that was detached. Throws `permission_denied` where the device does not let it in,
   * `unimplemented` for a kind that the executor cannot do.
   */
  enter(
    at: RunningTask,
    use: StreamUse,
    input: AsyncIterable<InputFrame>,
    signal: AbortSignal,
  ): AsyncIterable<OutputFrame>;
}

/**
 * What a device counts; what it does not is left out.
 *
 * @example
 * ```ts
 * const counters: Counters = { cpu: [120, 4000], temperature: 48_300 };
 * ```
 */
export interface Counters {
  /** Ticks of all processors since the boot: busy ones, and all. */
  cpu?: readonly [busy: number, total: number];
  /** KiB. */
  memory?: readonly [total: number, available: number];
  /** KiB of the file system with the agent's state. */
  disk?: readonly [total: number, available: number];
  /** Thousandths of a degree Celsius. */
  temperature?: number;
  /** The word of a Raspberry Pi's firmware. */
  throttled?: number;
  /** Sectors of 512 bytes that were written to disks since the boot. */
  written?: number;
}

/**
 * Looks how the device is, where the agent's sandbox does not let the agent look.
 *
 * @example
 * ```ts
 * const meter: DeviceMeter = { measure: () => Promise.resolve({ temperature: 48_300 }) };
 * ```
 */
export interface DeviceMeter {
  measure(signal: AbortSignal): Promise<Counters>;
}

const METHODS: { [C in Capability]: readonly (keyof Capabilities[C])[] } = {
  sweep: ["sweep"],
  overlay: ["checkOverlay"],
  reload: ["reload"],
  logs: ["logs"],
  meter: ["measure"],
  enter: ["enter"],
};

/** True if `executor` names `capability` and has its methods. */
export function can<C extends Capability>(
  executor: Executor,
  capability: C,
): executor is Executor & Capabilities[C] {
  return declares(executor, capability) && lacks(executor, capability).length === 0;
}

/** The capabilities that `executor` names without having all their methods, each as `NAME without METHOD`. */
export function brokenPromises(executor: Executor): string[] {
  const names = (Object.keys(METHODS) as Capability[]).filter((name) => declares(executor, name));
  return names.flatMap((name) => lacks(executor, name).map((method) => `${name} without ${method}`));
}

function declares({ capabilities }: Executor, capability: Capability): boolean {
  return Array.isArray(capabilities) && capabilities.includes(capability);
}

function lacks(executor: Executor, capability: Capability): string[] {
  const methods = executor as unknown as Record<string, unknown>;
  return METHODS[capability].filter((method) => typeof methods[method] !== "function");
}

/**
 * What an agent that was killed needs to find a running task again. `version` is the executor's own format number.
 *
 * @example
 * ```ts
 * const handle: Handle = { version: 1, data: { pid: 4711, startedAt: "2026-01-01T00:00:00.000Z" } };
 * ```
 */
export interface Handle {
  version: number;
  data: Record<string, string | number | boolean>;
}

/**
 * How a task's program ended.
 *
 * @example
 * ```ts
 * const killed: Exit = { ExitCode: 137, Reason: "killed by signal 9" };
 * ```
 */
export interface Exit {
  ExitCode: number;
  /** In words, if there is more to say than the code: `killed by signal 9`, `out of memory`. */
  Reason?: string;
}

/**
 * Runs one task. Calls never overlap, but for `wait`, which is aborted through its signal before another call is made.
 *
 * @example
 * ```ts
 * // A program that has ended as soon as it is started.
 * class Nothing implements Controller {
 *   async prepare() {}
 *   async start() {}
 *   async wait(): Promise<Exit> {
 *     return await Promise.resolve({ ExitCode: 0 });
 *   }
 *   async update() {}
 *   async shutdown() {}
 *   async terminate() {}
 *   async remove() {}
 *   handle(): Handle | undefined {
 *     return undefined;
 *   }
 *   async status() {
 *     return await Promise.resolve(undefined);
 *   }
 *   async close() {}
 * }
 * ```
 */
export interface Controller {
  /** Makes everything ready to start (pull, create). Idempotent: already prepared is success. */
  prepare(signal: AbortSignal): Promise<void>;
  /** Starts, and resolves when the program runs (and is healthy, where it has a health check). Already started is success. */
  start(signal: AbortSignal): Promise<void>;
  /** Resolves when the program has ended, at once if it has ended already. Aborting the signal only stops waiting. */
  wait(signal: AbortSignal): Promise<Exit>;
  /** Takes over what may change in place; a task's spec does not. */
  update(task: Task): Promise<void>;
  /**
   * Stops gracefully: stop signal, grace period, kill. Resolves when the program has ended. Already stopped is success. What
   * an agent that was killed has started, and did not live to note, ends too; what it was about to start is not started any
   * more, or told of by `revived`.
   */
  shutdown(signal: AbortSignal): Promise<void>;
  /** Kills at once. */
  terminate(signal: AbortSignal): Promise<void>;
  /** Removes every trace of the task on the node, the program included. Already removed is success. */
  remove(signal: AbortSignal): Promise<void>;
  /** What to store to find this task again; undefined while there is nothing to find. */
  handle(): Handle | undefined;
  /**
   * Optional, for what somebody else can start: resolves when the program of a task that has ended runs again, if ever. The
   * agent then calls `shutdown`.
   */
  revived?(signal: AbortSignal): Promise<void>;
  /** Optional: how far a call that takes long is, in words, for the task's status. */
  progress?(): string | undefined;
  /** Identifiers of the running thing, for the task's status. */
  status(): Promise<ContainerStatus | undefined>;
  /** Optional: the host's ports that the running thing has, those included that were chosen for it. */
  ports?(): Promise<PortConfig[]>;
  /** Lets go of the controller's own resources (watchers, sockets); the program goes on. */
  close(): Promise<void>;
}

/**
 * What a task may read of the secrets and configs on its node: those that its spec references, and no others.
 *
 * @example
 * ```ts
 * const none: Dependencies = {
 *   read: (kind, id) => Promise.reject(new Error(`Cannot read ${kind} ${id}: the task does not reference it`)),
 * };
 * ```
 */
export interface Dependencies {
  /**
   * The bytes of a secret or config. Rejects with `permission_denied` for one that the task does not reference, `not_found`
   * for one that the cluster does not have, and `unavailable` while the node has yet to hear of it.
   */
  read(kind: DependencyKind, id: string): Promise<Uint8Array>;
}

/** What a task may read that references nothing. */
export const NO_DEPENDENCIES: Dependencies = {
  read: (kind, id) =>
    Promise.reject(
      new CoveyError("permission_denied", `Cannot read ${kind} ${id}: the task does not reference it`),
    ),
};

/**
 * Runs the tasks of one runtime.
 *
 * @example
 * ```ts
 * // The runtimes that a node with `executors` offers.
 * function runtimes(executors: readonly Executor[]): string[] {
 *   return executors.map(({ runtime }) => runtime);
 * }
 * ```
 */
export interface Executor {
  /** `docker`, `process`, … */
  readonly name: string;
  /** The `TaskTemplate.Runtime` it serves: `container`, `process`, … */
  readonly runtime: string;
  /** See {@linkcode Capabilities}. */
  readonly capabilities: readonly Capability[];
  /** Called before each session and every 20 s (SwarmKit); throws if the executor cannot work now. */
  describe(signal: AbortSignal): Promise<ExecutorDescription>;
  /**
   * A controller for a new task, which reads its secrets and configs when it is prepared or started. Throws
   * `invalid_argument` for a spec it cannot run.
   */
  controller(task: Task, dependencies?: Dependencies): Promise<Controller>;
  /** A controller for a task started by an earlier agent. Throws `not_found` if nothing is left of it. */
  recover(task: Task, handle: Handle, dependencies?: Dependencies): Promise<Controller>;
  /** Lets go of the executor's own resources; programs go on. */
  close(): Promise<void>;
}

/**
 * What an executor module gets to work with.
 *
 * @example
 * ```ts
 * const context: ExecutorContext = { stateDir: "/var/lib/covey/module0", nodeID: "node1" };
 * ```
 */
export interface ExecutorContext {
  /** A folder of the executor's own inside the agent's state folder; created before use. */
  stateDir: string;
  nodeID: string;
  /** None: this node has no networks of the cluster. */
  networks?: OverlayNetworks;
}

/**
 * The export of a module given to `run-agent --executor ./mine.ts`: `export default` a factory.
 *
 * @example
 * ```ts
 * const factory: ExecutorFactory = async ({ stateDir }) => {
 *   await Deno.mkdir(`${stateDir}/runs`, { recursive: true });
 *   throw new Error("Cannot make the executor: nothing here runs anything");
 * };
 * ```
 */
export type ExecutorFactory = (context: ExecutorContext) => Executor | Promise<Executor>;
