/**
 * One container, as its controller sees it.
 *
 *     none --- prepare ---> created --- start ---> running ---> ended --- remove ---> none
 *       |                                           ^   |
 *       '--- found: one of an earlier agent, -------'   '---> unhealthy: stopped, the call fails
 *            in whatever state it is
 *
 * Only a container that has never run is started. One that somebody else has removed counts as ended if the engine told of
 * its end, and is `not_found` otherwise.
 */
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import type { PortConfig } from "../../api/service.ts";
import { type ContainerStatus, type Task, taskName } from "../../api/task.ts";
import type { Controller, Dependencies, Exit, Handle } from "../executor.ts";
import type { MemoryFolder } from "../memory_folder.ts";
import { aborted, orAbort } from "../../api/or_abort.ts";
import { createBody, LABEL_TASK_ID, stopSeconds } from "./container_config.ts";
import { type ContainerFiles, containerFiles } from "./container_files.ts";
import { drain } from "../drain.ts";
import type { ContainerNetworks } from "./container_networks.ts";
import type { EngineClient } from "./engine_client.ts";
import type { EngineNetworks } from "./engine_networks.ts";
import type { ContainerInspect, EngineInfo, ImageInspect } from "./engine_types.ts";
import type { EventHub } from "./event_hub.ts";
import { grantedAccess } from "./host_access.ts";
import type { ImageKeeper } from "./image_keeper.ts";
import type { ImagePuller } from "./image_puller.ts";
import { isOfOneRegistry, isUnknownImage, runsOn } from "./image_ref.ts";
import { isTooOld, newerNeed, tooOld } from "./newer_need.ts";
import { linkArchive } from "./link_archive.ts";
import { publishedPorts } from "./published_ports.ts";

/** Format of the handles. */
export const HANDLE_VERSION = 1;
/** How often, and how many times, a removal that the engine has under way already is looked at. */
const REMOVAL_LOOK_MS = 100;
const MAX_REMOVAL_LOOKS = 100;

/** What the controllers of one executor share. */
export interface EngineNode {
  engine: EngineClient;
  images: ImagePuller;
  keeper: ImageKeeper;
  events: EventHub;
  clock: Clock;
  nodeID: string;
  memory: MemoryFolder;
  networks: EngineNetworks;
  /** Absolute path of `shim.sh`, which knows what containers may have of the device. */
  shim: string;
}

/** Runs one task as a container. */
export class DockerController implements Controller {
  readonly #node: EngineNode;
  readonly #task: Task;
  readonly #name: string;
  readonly #dependencies: Dependencies;
  /** Written by this very agent: memory forgets them with a reboot. */
  #files: ContainerFiles | undefined;
  #id: string | undefined;
  /** False if an earlier agent may have started the container. */
  #fresh = false;
  #last: ContainerInspect | undefined;
  /** There may be news that `#last` does not show. */
  #dirty = true;
  #exitCode: number | undefined;
  #news = Promise.withResolvers<void>();

  constructor(node: EngineNode, task: Task, dependencies: Dependencies, found?: ContainerInspect) {
    this.#node = node;
    this.#task = task;
    this.#name = taskName(task);
    this.#dependencies = dependencies;
    if (found) this.#adopt(found);
  }

  async prepare(signal: AbortSignal): Promise<void> {
    if (this.#id) return;
    await this.#node.keeper.preparing(() => this.#create(signal));
    await this.#noteImage(signal);
  }

  /** What is not noted is not removed. */
  async #noteImage(signal: AbortSignal): Promise<void> {
    const { Image } = await this.#inspect(signal).catch(() => ({ Image: undefined }));
    this.#dirty = true;
    if (Image !== undefined) await this.#node.keeper.used(this.#task.ServiceID, Image);
  }

  async #create(signal: AbortSignal): Promise<void> {
    const spec = this.#task.Spec.ContainerSpec!, auth = spec.PullOptions?.RegistryAuth;
    const access = await grantedAccess(this.#task, this.#node.shim);
    const pullError = await this.#node.images.ensure(spec.Image, signal, auth);
    for (const { Type, Source } of spec.Mounts ?? []) {
      if (Type !== "image" || Source === undefined) continue;
      // Credentials are for their own registry only.
      await this.#node.images.ensure(Source, signal, isOfOneRegistry(Source, spec.Image) ? auth : undefined);
    }
    const newer = newerNeed(spec), files = await this.#writeFiles();
    const networks = await this.#node.networks.prepare(this.#task, signal);
    try {
      const { Id } = await this.#node.engine.call<{ Id: string }>("POST", "/containers/create", {
        query: { name: this.#name },
        body: createBody(this.#task, this.#node.nodeID, files, networks, access),
        ...(newer !== undefined && { version: newer.version }),
        signal,
      });
      this.#id = Id;
      this.#fresh = true;
    } catch (error) {
      const found = hasCode(error, "already_exists") ? await this.#find(signal) : undefined;
      // That there is no such image is the registry's word alone.
      if (
        hasCode(error, "not_found") && pullError !== undefined &&
        (auth !== undefined || !isUnknownImage(pullError))
      ) {
        throw new CoveyError(error.code, `${error.message} (${pullError})`, { cause: error });
      }
      if (newer && hasCode(error, "invalid_argument") && await isTooOld(this.#node.engine, newer, signal)) {
        throw tooOld(error, newer);
      }
      if (!found) throw error;
      this.#adopt(found);
      if (found.State.Status !== "created") return;
    }
    // Also one whose agent ended before it had connected it.
    if (networks !== undefined) await this.#connect(networks, signal);
    if (this.#fresh) await this.#link(files, signal);
  }

  /** Makes the links to what changes while the container runs. One without them is none that could be started. */
  async #link({ links }: ContainerFiles, signal: AbortSignal): Promise<void> {
    if (links.length === 0) return;
    const archive = linkArchive(links);
    try {
      if (archive === undefined) {
        throw new CoveyError("invalid_argument", "Cannot link the container's files: a target is too long");
      }
      const query = { path: "/" };
      await this.#node.engine.call("PUT", `/containers/${this.#id}/archive`, { query, archive, signal });
    } catch (error) {
      const id = this.#id!;
      this.#id = undefined;
      await this.#delete(id, new AbortController().signal);
      throw error;
    }
  }

  async start(signal: AbortSignal): Promise<void> {
    if (!this.#id) await this.prepare(signal);
    this.#listen();
    // A container that has ever run is not run again, even if it has ended.
    if (!this.#fresh) await this.#inspect(signal);
    if (this.#fresh || this.#last!.State.StartedAt.startsWith("0001-")) await this.#start(signal);
    await this.#until(signal, ({ State }) => {
      if (!State.Running) return true;
      const health = State.Health?.Status ?? "none";
      return health === "none" || health === "healthy" || health === "unhealthy" ? true : undefined;
    });
    await this.#refuseUnhealthy();
  }

  async wait(signal: AbortSignal): Promise<Exit> {
    this.#listen();
    const exit = await this.#until(signal, ({ State }): Exit | "unhealthy" | undefined => {
      if (State.Health?.Status === "unhealthy" && State.Running) return "unhealthy";
      if (State.Running || State.Status === "created") return undefined;
      const reason = State.OOMKilled ? "out of memory" : State.Error;
      return { ExitCode: State.ExitCode, ...reason ? { Reason: reason } : {} };
    });
    if (exit !== "unhealthy") {
      await this.#forgetFiles();
      return exit.ExitCode === 0 || exit.Reason !== undefined ? exit : await this.#explained(exit);
    }
    await this.#refuseUnhealthy();
    return await this.wait(signal);
  }

  /**
   * An image for another platform is not refused beforehand: the engine may have been taught to run it, and does not say so.
   * Without that its program ends at once, and only its log knows of an "exec format error".
   */
  async #explained(exit: Exit): Promise<Exit> {
    const { engine } = this.#node, image = this.#last?.Image;
    if (image === undefined) return exit;
    try {
      const { Os, Architecture } = await engine.call<ImageInspect>("GET", `/images/${image}/json`);
      const info = await engine.call<EngineInfo>("GET", "/info"), here = info.Architecture;
      if (Os === info.OSType && runsOn(here, Architecture)) return exit;
      return {
        ...exit,
        Reason: `the image is for ${Os}/${Architecture}, this device is ${info.OSType}/${here}`,
      };
    } catch {
      // How it ended is known; the engine may be on its way out.
      return exit;
    }
  }

  /** By `docker start` or `docker restart`, or by the engine at its own start. */
  async revived(signal: AbortSignal): Promise<void> {
    if (!this.#id) return void await aborted(signal);
    this.#listen();
    this.#dirty = true;
    try {
      await this.#until(signal, ({ State }) => State.Running || undefined);
    } catch (error) {
      if (!hasCode(error, "not_found")) throw error;
      await aborted(signal);
    }
  }

  update(): Promise<void> {
    return Promise.resolve();
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    if (!await this.#isFound(signal)) return;
    const seconds = stopSeconds(this.#task.Spec.ContainerSpec!);
    await drain(this.#task, this.#node.networks, this.#node.clock, signal);
    await this.#tolerant("POST", `/containers/${this.#id}/stop`, { t: String(seconds) }, signal);
    this.#dirty = true;
    await this.#forgetFiles();
  }

  async terminate(signal: AbortSignal): Promise<void> {
    if (!await this.#isFound(signal)) return;
    await this.#tolerant("POST", `/containers/${this.#id}/kill`, { signal: "KILL" }, signal);
    // The engine answers a kill before the container has ended. A stop waits for the end.
    await this.#tolerant("POST", `/containers/${this.#id}/stop`, { t: "0" }, signal);
    this.#dirty = true;
  }

  async remove(signal: AbortSignal): Promise<void> {
    if (await this.#isFound(signal)) {
      this.#node.events.forget(this.#id!);
      await this.#delete(this.#id!, signal);
    }
    this.#id = undefined;
    this.#last = undefined;
    await this.#node.networks.release(this.#task);
    await this.#node.memory.remove(this.#task);
    this.#files = undefined;
  }

  progress(): string | undefined {
    const { Image, PullOptions } = this.#task.Spec.ContainerSpec!;
    return this.#id ? undefined : this.#node.images.progress(Image, PullOptions?.RegistryAuth);
  }

  handle(): Handle | undefined {
    return this.#id ? { version: HANDLE_VERSION, data: { ContainerID: this.#id } } : undefined;
  }

  async status(): Promise<ContainerStatus | undefined> {
    if (!this.#id) return undefined;
    if (this.#dirty || !this.#last) await this.#inspect();
    const { Id, State } = this.#last!;
    return { ContainerID: Id, PID: State.Pid, ExitCode: State.ExitCode };
  }

  async ports(): Promise<PortConfig[]> {
    if (!this.#id) return [];
    if (this.#dirty || !this.#last) await this.#inspect();
    return publishedPorts(this.#last!);
  }

  close(): Promise<void> {
    if (this.#id) this.#node.events.forget(this.#id);
    return Promise.resolve();
  }

  /** A container that could not be connected to all its networks is not kept: it would be taken for one that is. */
  async #connect(networks: ContainerNetworks, signal: AbortSignal): Promise<void> {
    try {
      await this.#node.networks.connect(this.#id!, networks, signal);
    } catch (error) {
      const id = this.#id!;
      this.#id = undefined;
      this.#fresh = false;
      await this.#delete(id, signal);
      throw error;
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    await this.#writeFiles();
    // Also if the start fails: the engine then notes an exit code.
    this.#dirty = true;
    try {
      await this.#node.engine.call("POST", `/containers/${this.#id}/start`, { signal });
      this.#fresh = false;
    } catch (error) {
      await this.#forgetFiles();
      if (!(error instanceof CoveyError)) throw error;
      // In the words that `docker service ps` shows.
      throw new CoveyError(error.code, `starting container failed: ${error.message}`, { cause: error });
    }
  }

  /** Nobody reads the secrets of a container that has ended. */
  async #forgetFiles(): Promise<void> {
    this.#files = undefined;
    await this.#node.memory.removeUnread(this.#task);
  }

  async #writeFiles(): Promise<ContainerFiles> {
    return this.#files ??= await containerFiles(this.#task, this.#dependencies, this.#node.memory);
  }

  #adopt(found: ContainerInspect): void {
    this.#id = found.Id;
    this.#see(found);
    this.#fresh = false;
  }

  #listen(): void {
    this.#node.events.listen(this.#id!, (exitCode) => {
      this.#exitCode = exitCode ?? this.#exitCode;
      this.#dirty = true;
      this.#news.resolve();
    });
  }

  #see(found: ContainerInspect): ContainerInspect {
    this.#node.networks.seen(this.#task, found.State);
    return this.#last = found;
  }

  async #inspect(signal?: AbortSignal): Promise<ContainerInspect> {
    this.#dirty = false;
    try {
      const path = `/containers/${this.#id}/json`;
      return this.#see(await this.#node.engine.call<ContainerInspect>("GET", path, signal ? { signal } : {}));
    } catch (error) {
      this.#dirty = true;
      throw error;
    }
  }

  /** Inspects at every news until `decide` finds what it looks for. While the engine is away it waits on. */
  async #until<T>(signal: AbortSignal, decide: (container: ContainerInspect) => T | undefined): Promise<T> {
    while (true) {
      signal.throwIfAborted();
      this.#news = Promise.withResolvers();
      try {
        const found = decide(this.#dirty || !this.#last ? await this.#inspect(signal) : this.#last);
        if (found !== undefined) return found;
      } catch (error) {
        if (hasCode(error, "not_found")) return this.#removedBehindOurBack(decide, error);
        if (!hasCode(error, "unavailable")) throw error;
      }
      await orAbort(this.#news.promise, signal);
    }
  }

  /** The event of its end is all there is of a container that somebody else removed. */
  #removedBehindOurBack<T>(decide: (container: ContainerInspect) => T | undefined, cause: CoveyError): T {
    const last = this.#last;
    if (this.#exitCode !== undefined && last) {
      const State = {
        ...last.State,
        Running: false,
        Status: "exited" as const,
        Pid: 0,
        ExitCode: this.#exitCode,
      };
      const found = decide(this.#see({ ...last, State }));
      if (found !== undefined) return found;
    }
    throw cause;
  }

  /** Stops an unhealthy container and throws; does nothing for another. */
  async #refuseUnhealthy(): Promise<void> {
    const State = this.#last?.State;
    if (!State?.Running || State.Health?.Status !== "unhealthy") return;
    await this.shutdown(new AbortController().signal);
    throw new CoveyError("failed_precondition", "unhealthy container");
  }

  /** True if the task has a container, be it one that an earlier agent created and did not live to note. */
  async #isFound(signal: AbortSignal): Promise<boolean> {
    const found = this.#id === undefined ? await this.#find(signal) : undefined;
    if (found) this.#adopt(found);
    return this.#id !== undefined;
  }

  /** The task's container under its name, if there is one and it is the task's. */
  async #find(signal: AbortSignal): Promise<ContainerInspect | undefined> {
    try {
      const path = `/containers/${encodeURIComponent(this.#name)}/json`;
      const found = await this.#node.engine.call<ContainerInspect>("GET", path, { signal });
      return found.Config.Labels?.[LABEL_TASK_ID] === this.#task.ID ? found : undefined;
    } catch (error) {
      if (hasCode(error, "not_found")) return undefined;
      throw error;
    }
  }

  async #delete(id: string, signal: AbortSignal): Promise<void> {
    for (let looks = 0; looks < MAX_REMOVAL_LOOKS; looks++) {
      if (await this.#tolerant("DELETE", `/containers/${id}`, { force: "1", v: "1" }, signal)) return;
      await sleep(this.#node.clock, REMOVAL_LOOK_MS, signal);
    }
    throw new CoveyError("unavailable", `Cannot remove container ${id}: the engine is still at it`);
  }

  /** True if the call worked or the container is gone; false at a conflict (not running, being removed). */
  async #tolerant(
    method: string,
    path: string,
    query: Record<string, string>,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await this.#node.engine.call(method, path, { query, signal });
    } catch (error) {
      if (hasCode(error, "already_exists")) return false;
      if (!hasCode(error, "not_found")) throw error;
    }
    return true;
  }
}
