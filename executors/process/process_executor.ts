/** Runs programs on the device itself, each under a small shim that outlives the agent (design section 9). */
import { type Clock, systemClock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { getLogger } from "../../api/log.ts";
import { makePassableFolder, makePrivateFolder } from "../../api/private_folder.ts";
import { systemRandom } from "../../api/random.ts";
import { RUNTIME_PROCESS } from "../../api/service.ts";
import type { InputFrame, OutputFrame } from "../../api/stream_frames.ts";
import type { StreamUse } from "../../api/streams.ts";
import type { Task } from "../../api/task.ts";
import type {
  Controller,
  Counters,
  Dependencies,
  DeviceMeter,
  Executor,
  ExecutorContext,
  ExecutorDescription,
  Handle,
  LogRequest,
  LogSource,
  LogStep,
  OverlayExecutor,
  Reloader,
  RunningTask,
  Sweeper,
  TaskEnterer,
} from "../executor.ts";
import { defaultShim } from "../default_shim.ts";
import { NO_DEPENDENCIES } from "../executor.ts";
import { MemoryFolder } from "../memory_folder.ts";
import type { PortConnector } from "../port_connector.ts";
import { sweepEach } from "../sweep_each.ts";
import { ArtifactFetcher, FETCH_PREFIX, FETCH_RATE, MAX_ARTIFACT_BYTES } from "./artifact_fetcher.ts";
import { ArtifactStore, FETCH_SPREAD_MS } from "./artifact_store.ts";
import { ExitWatch } from "./exit_watch.ts";
import { type LogFiles, readLog } from "./log_reader.ts";
import { LogKeeper, MAX_LOG_BYTES } from "./log_keeper.ts";
import {
  deleteFiles,
  type Device,
  fileName,
  HANDLE_VERSION,
  NO_NETWORKS,
  ProcessController,
} from "./process_controller.ts";
import { isTaskID, type ShimRequest, shimRequest } from "./process_spec.ts";
import { Shim } from "./shim.ts";

/** What may be set; every default fits a device. */
export interface ProcessOptions {
  /** Absolute path of `shim.sh`, as in `--allow-run`. */
  shim?: string;
  /** The node's PATH, for programs named without a path. */
  path?: string;
  clock?: Clock;
  /** Size at which a program's log is rotated. */
  maxLogBytes?: number;
  /** Most bytes of an artifact. */
  maxArtifactBytes?: number;
  /** Bytes of artifacts a second. */
  fetchRate?: number;
  /** Within how many milliseconds a fetch begins, at random. */
  fetchSpreadMs?: number;
}

/** How long what the device is counts: each look starts a shell, which on a small device takes some hundredths of a second. */
const FACTS_PERIOD_MS = 60_000;

/** Where programs are looked up when nothing else is said. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The engine label that says who runs tasks which name no user: `own`, `named`, `agent` or `none`, as `shim_rules.sh` has them. */
const USER_LABEL = "covey.task.user";

const SHARED_USER =
  "tasks run as the agent's own user, as it has not root's rights: they can read its key and each other's files";

const log = getLogger(["covey", "process"]);

/** What an executor keeps of each task, by the task's ID. */
const FOLDERS = ["tasks", "runs", "logs", "scripts"];

/** What a runtime makes of a task: the rest is the same for all that run as programs of the device. */
export interface ProgramKind {
  /** The executor's name and its runtime. */
  name: string;
  /** Tells what the device is, which one of a node's executors does. */
  tellsFacts?: true;
  /**
   * What the shim is asked; throws `invalid_argument` with every problem of the spec. `path` is the node's PATH, `files` are the
   * paths of the task's artifacts by their names.
   */
  request(task: Task, path: string, files: ReadonlyMap<string, string>): ShimRequest;
}

class ProgramExecutor
  implements Executor, Sweeper, OverlayExecutor, Reloader, LogSource, DeviceMeter, TaskEnterer {
  readonly name: string;
  readonly runtime: string;
  readonly capabilities = ["sweep", "overlay", "reload", "logs", "meter", "enter"] as const;
  readonly #device: Device;
  readonly #artifacts: ArtifactStore;
  readonly #logs: LogKeeper;
  readonly #path: string;
  readonly #shim: string;
  #ports: PortConnector | undefined;
  readonly #kind: ProgramKind;
  #description: ExecutorDescription | undefined;
  #facts: { values: Record<string, string[]>; dueMs: number } | undefined;

  constructor(
    kind: ProgramKind,
    { stateDir, networks }: Pick<ExecutorContext, "stateDir" | "networks">,
    options: ProcessOptions,
  ) {
    this.name = this.runtime = kind.name;
    this.#kind = kind;
    const clock = options.clock ?? systemClock;
    const exits = new ExitWatch(`${stateDir}/runs`, clock);
    const path = this.#shim = options.shim ?? defaultShim(), shim = new Shim(path, stateDir, clock);
    const device = { shim, exits, clock, stateDir, memory: new MemoryFolder(path, stateDir) };
    const fetcher = new ArtifactFetcher(device, path, {
      maxBytes: options.maxArtifactBytes ?? MAX_ARTIFACT_BYTES,
      bytesPerSecond: options.fetchRate ?? FETCH_RATE,
    });
    const spreadMs = options.fetchSpreadMs ?? FETCH_SPREAD_MS;
    const artifacts = new ArtifactStore({ stateDir, clock, random: systemRandom, fetcher, spreadMs });
    this.#artifacts = artifacts;
    this.#device = { ...device, artifacts, networks };
    this.#logs = new LogKeeper(`${stateDir}/logs`, clock, options.maxLogBytes ?? MAX_LOG_BYTES);
    this.#path = options.path ?? DEFAULT_PATH;
  }

  async describe(): Promise<ExecutorDescription> {
    // Asked every 20 s, and none of it changes while the device runs.
    if (!this.#description) {
      const { memoryBytes, user, hostname } = await this.#device.shim.describe();
      // The deno executor asks the same shim.
      if (user === "agent" && this.name === RUNTIME_PROCESS) log.warn(SHARED_USER);
      this.#description = {
        Engine: { Labels: { [USER_LABEL]: user } },
        Resources: { NanoCPUs: navigator.hardwareConcurrency * 1e9, MemoryBytes: memoryBytes },
        Platform: { OS: Deno.build.os, Architecture: Deno.build.arch },
        Hostname: hostname,
      };
    }
    const facts = await this.#currentFacts();
    return structuredClone({ ...this.#description, ...(facts && { Facts: facts }) });
  }

  async #currentFacts(): Promise<Record<string, string[]> | undefined> {
    if (!this.#kind.tellsFacts) return undefined;
    const now = this.#device.clock.monotonic();
    if (this.#facts === undefined || this.#facts.dueMs <= now) {
      this.#facts = { values: await this.#device.shim.facts(), dueMs: now + FACTS_PERIOD_MS };
    }
    return this.#facts.values;
  }

  /** See {@linkcode OverlayExecutor}. */
  async checkOverlay(signal: AbortSignal): Promise<void> {
    const { networks } = this.#device;
    if (networks === undefined) throw new CoveyError("failed_precondition", NO_NETWORKS);
    await networks.check(signal);
  }

  // deno-lint-ignore require-await -- a spec that cannot run rejects, it does not throw
  async controller(task: Task, dependencies?: Dependencies): Promise<Controller> {
    const controller = this.#create(task, dependencies);
    this.#logs.open();
    return controller;
  }

  async recover(task: Task, handle: Handle, dependencies?: Dependencies): Promise<Controller> {
    if (handle.version !== HANDLE_VERSION || handle.data.TaskID !== task.ID) {
      throw new CoveyError(
        "not_found",
        `Cannot recover process: handle of version ${handle.version} is not known`,
      );
    }
    this.#logs.open();
    const controller = this.#create(task, dependencies);
    this.#device.exits.open();
    const found = await this.#device.shim.check(task.ID);
    // The shim's record is not synced: a power cut may take it, and then nobody would ever write how the program ended.
    const lost = found.state === "new" && handle.data.Started === true;
    if (!lost && await controller.adopt(found)) return controller;
    await controller.close();
    await deleteFiles(this.#device.stateDir, task.ID);
    await this.#device.memory.remove(task);
    throw new CoveyError("not_found", `Cannot recover process: nothing is left of task ${task.ID}`);
  }

  async reload(task: Task, dependencies: Dependencies, signals: readonly string[]): Promise<void> {
    await this.#device.memory.renew(task, dependencies, fileName);
    for (const signal of signals) await this.#device.shim.tell(task.ID, signal);
  }

  async sweep(keep: (taskID: string) => boolean, signal: AbortSignal): Promise<string[]> {
    const { shim, stateDir, memory } = this.#device;
    const ids = await sweepEach(await this.#taskIDs(), keep, signal, async (id) => {
      await shim.signal(id, "KILL");
      await deleteFiles(stateDir, id);
    });
    return [...new Set([...ids, ...await memory.sweep(keep)])];
  }

  /** Of every task that has a file here. */
  async #taskIDs(): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const folder of FOLDERS) {
      for await (const { name } of Deno.readDir(`${this.#device.stateDir}/${folder}`)) {
        const id = folder === "logs" ? name.replace(/(\+err)?\.log(\.1)?$/, "") : name;
        if (isTaskID(id) && !id.startsWith(FETCH_PREFIX)) ids.add(id);
      }
    }
    return ids;
  }

  logs({ data }: Handle, request: LogRequest, signal: AbortSignal): AsyncGenerator<LogStep> {
    const { exits } = this.#device, id = String(data.TaskID);
    this.#logs.open();
    const files: LogFiles = {
      keeper: this.#logs,
      hasEnded: async () => await exits.read(id) !== undefined,
      onEnd(wake) {
        exits.listen(id, wake);
        return () => exits.forget(id, wake);
      },
    };
    return readLog(files, id, request, signal);
  }

  async *enter(
    { task }: RunningTask,
    use: StreamUse,
    input: AsyncIterable<InputFrame>,
    signal: AbortSignal,
  ): AsyncGenerator<OutputFrame, void> {
    const { clock, stateDir } = this.#device, shim = this.#shim;
    if (use.Kind === "forward") {
      const { PortConnector } = await import("../port_connector.ts");
      this.#ports ??= new PortConnector({ shim, stateDir, clock });
      return yield* this.#ports.forward(task, use.Port, ["process", task.ID], input, signal);
    }
    // Loaded when somebody wants it.
    const { enterTask } = await import("./enter_task.ts");
    const request = this.#kind.request(task, this.#path, this.#artifacts.filesOf(task));
    yield* enterTask({ shim, stateDir, clock }, task, request, use, input, signal);
  }

  measure(): Promise<Counters> {
    return this.#device.shim.measure();
  }

  async close(): Promise<void> {
    await this.#ports?.close();
    await Promise.all([this.#device.exits.close(), this.#logs.close(), this.#device.shim.close()]);
  }

  #create(task: Task, dependencies: Dependencies = NO_DEPENDENCIES): ProcessController {
    const request = this.#kind.request(task, this.#path, this.#artifacts.filesOf(task));
    this.#artifacts.hold(task);
    return new ProcessController(this.#device, task, request, dependencies);
  }
}

/** An executor for programs on this device, with its files under `context.stateDir`. */
export function createProcessExecutor(
  context: ExecutorContext,
  options: ProcessOptions = {},
): Promise<Executor & Sweeper & Reloader & LogSource & TaskEnterer> {
  return createProgramExecutor(
    { name: RUNTIME_PROCESS, tellsFacts: true, request: shimRequest },
    context,
    options,
  );
}

/** An executor for tasks that `kind` turns into programs. */
export async function createProgramExecutor(
  kind: ProgramKind,
  context: ExecutorContext,
  options: ProcessOptions,
): Promise<Executor & Sweeper & Reloader & LogSource & TaskEnterer> {
  for (const dir of FOLDERS) {
    await (dir === "tasks" ? makePassableFolder : makePrivateFolder)(`${context.stateDir}/${dir}`);
  }
  await makePassableFolder(`${context.stateDir}/artifacts`);
  return new ProgramExecutor(kind, context, options);
}
