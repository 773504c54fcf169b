/** Runs tasks as containers of the local Docker Engine. */
import { type Clock, systemClock } from "../../api/clock.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { RUNTIME_CONTAINER } from "../../api/service.ts";
import type { InputFrame, OutputFrame } from "../../api/stream_frames.ts";
import type { StreamUse } from "../../api/streams.ts";
import type { Task } from "../../api/task.ts";
import type {
  Controller,
  Dependencies,
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
import { NO_DEPENDENCIES } from "../executor.ts";
import { defaultShim } from "../default_shim.ts";
import { MemoryFolder } from "../memory_folder.ts";
import type { PortConnector } from "../port_connector.ts";
import { sweepEach } from "../sweep_each.ts";
import { checkContainerTask, LABEL_NODE_ID, LABEL_TASK_ID } from "./container_config.ts";
import { fileName } from "./container_files.ts";
import { DockerController, type EngineNode, HANDLE_VERSION } from "./docker_controller.ts";
import { EngineClient } from "./engine_client.ts";
import type { ContainerInspect, ContainerSummary, EngineInfo } from "./engine_types.ts";
import { EngineNetworks } from "./engine_networks.ts";
import { EventHub } from "./event_hub.ts";
import { ImageKeeper } from "./image_keeper.ts";
import { ImagePuller } from "./image_puller.ts";
import { containerLog } from "./log_stream.ts";

/** What must be said. */
export interface DockerOptions {
  /** Absolute path of the engine's socket. */
  socket: string;
  /** Absolute path of `shim.sh`, which keeps secrets in memory and knows what containers may have of the device. */
  shim?: string | undefined;
  clock?: Clock;
}

/** How long the engine may take to say what it is; a session is waiting for it. */
const DESCRIBE_TIMEOUT_MS = 10_000;

class DockerExecutor implements Executor, Sweeper, Reloader, LogSource, OverlayExecutor, TaskEnterer {
  readonly name = "docker";
  readonly runtime = RUNTIME_CONTAINER;
  readonly capabilities = ["sweep", "reload", "logs", "overlay", "enter"] as const;
  readonly #node: EngineNode;
  readonly #stateDir: string;
  #ports: PortConnector | undefined;

  constructor(
    context: ExecutorContext,
    { socket, shim = defaultShim(), clock = systemClock }: DockerOptions,
  ) {
    this.#stateDir = context.stateDir;
    const engine = new EngineClient(socket);
    const keeper = new ImageKeeper(engine, clock, `${context.stateDir}/images.json`);
    this.#node = {
      engine,
      clock,
      keeper,
      images: new ImagePuller(engine, clock, (id) => void keeper.pulled(id)),
      events: new EventHub(engine, clock),
      nodeID: context.nodeID,
      shim,
      memory: new MemoryFolder(shim, `${context.stateDir}/docker`),
      networks: new EngineNetworks(engine, context.nodeID, context.networks),
    };
  }

  async describe(signal: AbortSignal): Promise<ExecutorDescription> {
    const late = new AbortController();
    const cancel = this.#node.clock.setTimer(DESCRIBE_TIMEOUT_MS, () => {
      late.abort(new CoveyError("unavailable", "Cannot describe the Docker Engine: no answer for 10 s"));
    });
    try {
      const info = await this.#node.engine.call<EngineInfo>("GET", "/info", {
        signal: AbortSignal.any([signal, late.signal]),
      });
      return {
        Engine: { EngineVersion: info.ServerVersion, Labels: labelsOf(info), Plugins: pluginsOf(info) },
        Resources: { NanoCPUs: info.NCPU * 1e9, MemoryBytes: info.MemTotal },
        Platform: { OS: info.OSType, Architecture: info.Architecture },
        Hostname: info.Name,
      };
    } finally {
      cancel();
    }
  }

  checkOverlay(signal: AbortSignal): Promise<void> {
    return this.#node.networks.check(signal);
  }

  // deno-lint-ignore require-await -- a spec that cannot run rejects, it does not throw
  async controller(task: Task, dependencies = NO_DEPENDENCIES): Promise<Controller> {
    checkContainerTask(task);
    return new DockerController(this.#node, task, dependencies);
  }

  async recover(
    task: Task,
    handle: Handle,
    dependencies: Dependencies = NO_DEPENDENCIES,
  ): Promise<Controller> {
    checkContainerTask(task);
    this.#node.networks.use(task);
    const id = handle.data.ContainerID;
    if (handle.version !== HANDLE_VERSION || typeof id !== "string" || !/^[0-9a-f]{64}$/.test(id)) {
      throw new CoveyError(
        "not_found",
        `Cannot recover container: handle of version ${handle.version} is not known`,
      );
    }
    const found = await this.#node.engine.call<ContainerInspect>("GET", `/containers/${id}/json`).catch(
      (error) => {
        if (!hasCode(error, "not_found")) throw error;
      },
    );
    if (found?.Config.Labels?.[LABEL_TASK_ID] === task.ID) {
      return new DockerController(this.#node, task, dependencies, found);
    }
    throw new CoveyError("not_found", `Cannot recover container: nothing is left of task ${task.ID}`);
  }

  async reload(
    task: Task,
    dependencies: Dependencies,
    signals: readonly string[],
    { data }: Handle,
  ): Promise<void> {
    await this.#node.memory.renew(task, dependencies, fileName);
    for (const signal of signals) {
      await this.#node.engine.call("POST", `/containers/${data.ContainerID}/kill`, { query: { signal } });
    }
  }

  /** By label: another node's agent may share the engine, and so may anybody else. */
  async sweep(keep: (taskID: string) => boolean, signal: AbortSignal): Promise<string[]> {
    const { engine, nodeID } = this.#node;
    const filters = JSON.stringify({ label: [LABEL_TASK_ID, `${LABEL_NODE_ID}=${nodeID}`] });
    const query = { all: "1", filters };
    const containers = await engine.call<ContainerSummary[]>("GET", "/containers/json", { query, signal });
    const taskOf = new Map(containers.map(({ Id, Labels }) => [Id, Labels[LABEL_TASK_ID] ?? ""]));
    const ids = await sweepEach(taskOf.keys(), (id) => keep(taskOf.get(id)!), signal, async (id) => {
      await engine.call("DELETE", `/containers/${id}`, { query: { force: "1", v: "1" }, signal })
        .catch((error) => {
          // Gone by now, or being removed.
          if (!hasCode(error, "not_found", "already_exists")) throw error;
        });
    });
    const services = containers.map(({ Labels }) => Labels["com.docker.swarm.service.id"] ?? "");
    await this.#node.keeper.clean(new Set(services), signal);
    await this.#node.networks.sweep(signal);
    return [...new Set([...ids.map((id) => taskOf.get(id)!), ...await this.#node.memory.sweep(keep)])];
  }

  async *logs({ data }: Handle, request: LogRequest, signal: AbortSignal): AsyncGenerator<LogStep> {
    const { engine, clock } = this.#node, id = String(data.ContainerID);
    try {
      yield* containerLog(engine, id, request, clock, signal);
    } catch (thrown) {
      // Removed while it was read: it has no more.
      if (!hasCode(thrown, "not_found")) throw thrown;
    }
  }

  async *enter(
    { task, handle }: RunningTask,
    use: StreamUse,
    input: AsyncIterable<InputFrame>,
    signal: AbortSignal,
  ): AsyncGenerator<OutputFrame, void> {
    const { engine, shim, clock } = this.#node;
    // Loaded when somebody wants it.
    const [{ checkLetIn }, inside] = await Promise.all([
      import("../task_stream.ts"),
      import("./enter_container.ts"),
    ]);
    await checkLetIn(shim, use.Kind, task);
    const at = { engine, shim, clock, containerID: String(handle.data.ContainerID) };
    if (use.Kind === "exec") yield* inside.execInContainer(at, use, input, signal);
    else if (use.Kind === "copy") yield* inside.copyOfContainer(at, use, input, signal);
    else {
      const { State } = await engine.call<ContainerInspect>("GET", `/containers/${at.containerID}/json`, {
        signal,
      });
      const { PortConnector } = await import("../port_connector.ts");
      this.#ports ??= new PortConnector({ shim, stateDir: this.#stateDir, clock });
      yield* this.#ports.forward(
        task,
        use.Port,
        ["container", at.containerID, String(State.Pid)],
        input,
        signal,
      );
    }
  }

  async close(): Promise<void> {
    this.#node.images.close();
    await this.#ports?.close();
    await this.#node.events.close();
    this.#node.engine.close();
  }
}

/** `key=value` labels as SwarmKit reports them. */
function labelsOf(info: EngineInfo): Record<string, string> {
  return Object.fromEntries((info.Labels ?? []).map((label) => {
    const at = label.indexOf("=");
    return at < 0 ? [label, ""] : [label.slice(0, at), label.slice(at + 1)];
  }));
}

function pluginsOf({ Plugins }: EngineInfo): { Type: string; Name: string }[] {
  const types = ["Authorization", "Log", "Network", "Volume"] as const;
  return types.flatMap((Type) => [...Plugins[Type] ?? []].sort().map((Name) => ({ Type, Name })));
}

/** An executor for the engine at `options.socket`; whether it can be reached shows at `describe`. */
export function createDockerExecutor(
  context: ExecutorContext,
  options: DockerOptions,
): Executor & Sweeper & Reloader & LogSource & OverlayExecutor & TaskEnterer {
  return new DockerExecutor(context, options);
}
