/**
 * One program on the device, as its controller sees it.
 *
 *     none --- prepare ---> prepared --- start ---> running ---> ended --- remove ---> none
 *       ^                                  |          ^
 *       '---- the program never ran -------'          '--- recovered: started by an earlier agent
 *
 * A recovered program that has ended is `ended`; one that nobody watches any more is killed, and not found.
 */
import { getLogger } from "../../api/log.ts";
import { SayOnce } from "../../api/say_once.ts";
import { type CancelTimer, type Clock, sleep } from "../../api/clock.ts";
import type { Dependency } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import { LOG_STREAMS } from "../../api/logs.ts";
import type { ContainerStatus, Task } from "../../api/task.ts";
import { drain } from "../drain.ts";
import type { Controller, Dependencies, Exit, Handle } from "../executor.ts";
import type { OverlayNetworks } from "../overlay_networks.ts";
import type { MemoryFolder } from "../memory_folder.ts";
import { orAbort } from "../../api/or_abort.ts";
import type { ExitWatch, Listener } from "./exit_watch.ts";
import { logName } from "./log_reader.ts";
import { type ShimRequest, type StopPolicy, stopPolicy } from "./process_spec.ts";
import type { ExitRecord, Shim, ShimState } from "./shim.ts";

/** Format of the handles. */
export const HANDLE_VERSION = 1;
/** How long SIGKILL may take to show, before a look whether the shim is there at all. */
const KILL_WAIT_MS = 5000;
/** Shims that may have claimed a task before its own does; more are not an accident. */
const MAX_CLAIMS = 3;
/** Why a node's programs cannot be in networks. */
export const NO_NETWORKS = "the agent was started without networks, which take an agent that runs as root";
/** The record of a program that was stopped before it was started: no shim, no program, and an end as by SIGTERM. */
const NEVER_STARTED = "\n\nexit 143\n";
/** Pause after a look that failed, for want of processes or descriptors. */
const LOOK_RETRY_MS = 1000;

const log = getLogger(["covey", "process"]);

/** The files that tasks bring with them, as their controllers see them. */
export interface Artifacts {
  /** Puts them into the task's folder. Done again, it does the same again. */
  place(task: Task, signal: AbortSignal): Promise<void>;
  /** The task is gone from the device. */
  release(taskID: string): void;
}

/** What the controllers of one executor share. */
export interface Device {
  shim: Shim;
  exits: ExitWatch;
  clock: Clock;
  stateDir: string;
  memory: MemoryFolder;
  artifacts?: Artifacts;
  /** The cluster's networks; without them tasks are in the device's own. */
  networks?: OverlayNetworks | undefined;
}

/** Deletes what the device keeps of a task whose program has ended. */
export async function deleteFiles(stateDir: string, id: string): Promise<void> {
  await deletePaths(stateDir, [`tasks/${id}`]);
  await deleteRun(stateDir, id);
}

/** The same, but for the folder that the program worked in. */
export async function deleteRun(stateDir: string, id: string): Promise<void> {
  const logs = LOG_STREAMS.map((stream) => `logs/${logName(id, stream)}`).flatMap((log) => [log, `${log}.1`]);
  await deletePaths(stateDir, [...logs, `runs/${id}`, `scripts/${id}`]);
}

async function deletePaths(stateDir: string, paths: string[]): Promise<void> {
  for (const path of paths) {
    await Deno.remove(`${stateDir}/${path}`, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}

/** Makes the record of a program that was never started; false if there is one. */
async function claim(record: string): Promise<boolean> {
  try {
    await Deno.writeTextFile(record, NEVER_STARTED, { createNew: true, mode: 0o600 });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Under which name a program finds a secret or config. */
export function fileName({ File }: Dependency): string {
  return File.Name;
}

/** Runs one task through the shim. */
export class ProcessController implements Controller {
  readonly #device: Device;
  readonly #task: Task;
  readonly #dependencies: Dependencies;
  readonly #request: ShimRequest;
  readonly #stop: StopPolicy;
  readonly #ended = Promise.withResolvers<Exit>();
  #prepared = false;
  /** The files of its secrets are there, written by this very agent: memory forgets them with a reboot. */
  #hasFiles = false;
  #pid = 0;
  #exit: Exit | undefined;
  #listener: Listener | undefined;
  readonly #said = new SayOnce();
  #looking = false;
  #lookAgain = false;
  #cancelRetry: CancelTimer | undefined;

  constructor(device: Device, task: Task, request: ShimRequest, dependencies: Dependencies) {
    this.#device = device;
    this.#task = task;
    this.#dependencies = dependencies;
    this.#request = request;
    this.#stop = stopPolicy(task);
  }

  async prepare(signal: AbortSignal): Promise<void> {
    const { shim, stateDir } = this.#device, { id, grants, script } = this.#request;
    // What the device does not let in is known before anything is made.
    const brings = (this.#task.Spec.DenoSpec?.Artifacts?.length ?? 0) > 0;
    if (grants !== undefined && !brings) await shim.judge(this.#request);
    await Deno.mkdir(`${stateDir}/tasks/${id}`, { recursive: true, mode: 0o700 });
    await this.#device.artifacts?.place(this.#task, signal);
    // A module has to be there to be judged.
    if (grants !== undefined && brings) await shim.judge(this.#request);
    if (script !== undefined) await Deno.writeTextFile(`${stateDir}/scripts/${id}`, script, { mode: 0o600 });
    await this.#device.memory.write(this.#task, this.#dependencies, fileName);
    this.#prepared = this.#hasFiles = true;
  }

  async start(signal: AbortSignal): Promise<void> {
    if (this.#pid || this.#exit) return;
    signal.throwIfAborted();
    if (!this.#prepared || !this.#hasFiles) await this.prepare(signal);
    await this.#joinNetworks(signal);
    this.#device.exits.open();
    // What happens to it is seen from the first moment on.
    this.#listen();
    this.#pid = await this.#claimAndRun(signal);
    if (this.#lookAgain) await this.#look();
  }

  async wait(signal: AbortSignal): Promise<Exit> {
    const exit = this.#exit ?? await orAbort(this.#ended.promise, signal);
    await this.#forgetFiles();
    return exit;
  }

  update(): Promise<void> {
    return Promise.resolve();
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    await this.#forestall();
    if (!this.#isRunning()) return;
    await drain(this.#task, this.#device.networks, this.#device.clock, signal);
    await this.#device.shim.signal(this.#request.id, this.#stop.signal);
    if (!await this.#endsWithin(this.#stop.graceMs, signal)) await this.terminate(signal);
    await this.#forgetFiles();
  }

  async terminate(signal: AbortSignal): Promise<void> {
    await this.#forestall();
    while (this.#isRunning()) {
      await this.#device.shim.signal(this.#request.id, "KILL");
      if (await this.#endsWithin(KILL_WAIT_MS, signal)) return;
      await this.#look();
    }
  }

  async remove(signal: AbortSignal): Promise<void> {
    await this.terminate(signal);
    this.#forget();
    await this.#deleteFiles();
    await this.#device.networks?.part(this.#request.id);
    this.#device.artifacts?.release(this.#request.id);
  }

  handle(): Handle | undefined {
    if (!this.#prepared) return undefined;
    // Who runs (boot, pid, start time) is in the shim's record: it is known there even if the agent dies
    // while starting.
    const started = this.#pid !== 0 || this.#exit !== undefined;
    return { version: HANDLE_VERSION, data: { TaskID: this.#request.id, ...started && { Started: true } } };
  }

  status(): Promise<ContainerStatus | undefined> {
    if (!this.#pid && !this.#exit) return Promise.resolve(undefined);
    const PID = this.#exit ? 0 : this.#pid;
    return Promise.resolve({ ContainerID: "", PID, ExitCode: this.#exit?.ExitCode ?? 0 });
  }

  close(): Promise<void> {
    this.#cancelRetry?.();
    this.#forget();
    return Promise.resolve();
  }

  /** Finds what an earlier agent has started and did not live to note; a shim that it has only just asked comes too late. */
  async #forestall(): Promise<void> {
    if (this.#pid || this.#exit) return;
    const { shim, stateDir } = this.#device, { id } = this.#request;
    let found = await shim.check(id);
    // Of two who claim a task, the second gives up.
    if (found.state === "new" && !await claim(`${stateDir}/runs/${id}`)) found = await shim.check(id);
    if (found.state !== "new" && found.state !== "gone") await this.adopt(found);
  }

  /** Takes over what an earlier agent left; false if nothing is left. */
  async adopt(found: ShimState): Promise<boolean> {
    if (this.#isInNetworks()) this.#device.networks?.resume(this.#task);
    if (found.state === "orphan") {
      // Without its shim nobody can tell how it ends.
      await this.#device.shim.signal(this.#request.id, "KILL");
      return false;
    }
    if (found.state === "gone") return false;
    this.#prepared = true;
    if (found.state === "exited") this.#end(found.exit);
    if (found.state === "running") {
      this.#pid = found.pid;
      this.#listen();
      // It may have ended between the check and the watch.
      await this.#look();
    }
    return true;
  }

  #isInNetworks(): boolean {
    return (this.#task.NetworkAttachments?.length ?? 0) > 0;
  }

  /** A reboot takes the namespace with it, so it is asked for at each start. */
  async #joinNetworks(signal: AbortSignal): Promise<void> {
    if (!this.#isInNetworks()) return;
    const { networks } = this.#device;
    if (networks === undefined) throw new CoveyError("failed_precondition", NO_NETWORKS);
    this.#request.options.node = await networks.join(this.#task, signal);
  }

  /** Starts the program, or takes over what was asked for before. Returns its pid. */
  async #claimAndRun(signal: AbortSignal): Promise<number> {
    const { shim } = this.#device, { id } = this.#request;
    for (let tries = 0; tries < MAX_CLAIMS; tries++) {
      const pid = await this.#run();
      if (pid !== undefined) return pid;
      // An earlier agent asked for it, or the answer was lost. What is found may be of a boot long ago.
      const found = await shim.check(id);
      if (found.state === "new") continue;
      if (await this.adopt(found)) return this.#pid;
      await this.#deleteFiles();
      await this.prepare(signal);
    }
    throw new CoveyError(
      "aborted",
      `Cannot start process: the record of task ${id} is not there and cannot be made; ` +
        `see that ${this.#device.stateDir} is there and can be written`,
    );
  }

  async #run(): Promise<number | undefined> {
    try {
      return await this.#device.shim.run(this.#request);
    } catch (error) {
      // A program that never ran leaves no trace, so that a retry starts afresh.
      this.#forget();
      await this.#deleteFiles();
      throw error;
    }
  }

  /** Nobody reads the secrets of a program that has ended. */
  async #forgetFiles(): Promise<void> {
    this.#hasFiles = false;
    await this.#device.memory.removeUnread(this.#task);
  }

  async #deleteFiles(): Promise<void> {
    await deleteFiles(this.#device.stateDir, this.#request.id);
    await this.#device.memory.remove(this.#task);
    this.#prepared = this.#hasFiles = false;
  }

  #isRunning(): boolean {
    return this.#pid !== 0 && this.#exit === undefined;
  }

  #listen(): void {
    this.#forget();
    this.#listener = (record) =>
      record ? this.#end(record) : void this.#look().then(() => this.#lookOnceMore());
    this.#device.exits.listen(this.#request.id, this.#listener);
  }

  #forget(): void {
    if (this.#listener) this.#device.exits.forget(this.#request.id, this.#listener);
  }

  /** Looks how things stand when the shim's file was closed, or the shim ended, without a record seen. */
  async #look(): Promise<void> {
    this.#lookAgain = true;
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#lookAgain && this.#isRunning()) {
        this.#lookAgain = false;
        await this.#lookOnce();
      }
    } catch (error) {
      if (this.#said.isNew(String(error))) {
        log.warn("cannot look after task {id}: {error}", { id: this.#request.id, error });
      }
      this.#cancelRetry?.();
      this.#cancelRetry = this.#device.clock.setTimer(LOOK_RETRY_MS, () => void this.#look());
    } finally {
      this.#looking = false;
    }
  }

  /** A shim that is being killed closes its file a moment before the system says that it has ended. */
  #lookOnceMore(): void {
    if (!this.#isRunning()) return;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#device.clock.setTimer(LOOK_RETRY_MS, () => void this.#look());
  }

  async #lookOnce(): Promise<void> {
    const record = await this.#device.exits.read(this.#request.id);
    if (record) return this.#end(record);
    const found = await this.#device.shim.check(this.#request.id);
    if (found.state === "exited") return this.#end(found.exit);
    if (found.state === "running") return;
    await this.#device.shim.signal(this.#request.id, "KILL");
    this.#finish({ ExitCode: 137, Reason: "its shim was killed" });
  }

  #end(record: ExitRecord): void {
    this.#finish({ ExitCode: record.code, ...record.reason ? { Reason: record.reason } : {} });
  }

  #finish(exit: Exit): void {
    if (this.#exit) return;
    this.#exit = exit;
    this.#forget();
    this.#ended.resolve(exit);
  }

  async #endsWithin(ms: number, signal: AbortSignal): Promise<boolean> {
    const done = new AbortController();
    const timeout = sleep(this.#device.clock, ms, AbortSignal.any([signal, done.signal])).then(() => false);
    try {
      return await Promise.race([this.#ended.promise.then(() => true), timeout]);
    } finally {
      done.abort();
      timeout.catch(() => {});
    }
  }
}
