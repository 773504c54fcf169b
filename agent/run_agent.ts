/** An agent as a process: puts the parts together and ends them in order. */
import { SayOnce } from "../api/say_once.ts";
import { getLogger } from "../api/log.ts";
import { systemClock } from "../api/clock.ts";
import type { SessionMessage } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { systemRandom } from "../api/random.ts";
import { loadExecutors } from "../executors/load.ts";
import { ClockFloor } from "../security/clock_floor.ts";
import { systemFileSystem } from "../security/file_system.ts";
import { Agent, type AgentState } from "./agent.ts";
import { DependencyKeeper } from "./dependencies.ts";
import { HeapKeeper } from "./heap_keeper.ts";
import { identityDialer, type IdentityKeeper, ownIdentity, sharedIdentity, tlsInfo } from "./identity.ts";
import type { AgentOptionsFromFlags } from "./options.ts";
import { readBootID, StateFolder } from "./state_folder.ts";

/** Version of the agent, shown where no engine has a version. */
const VERSION = "0.1.0";

const logger = getLogger(["covey", "agent"]);

/** How an agent is asked to end. `leave`: the node leaves its cluster, so its tasks are removed first. */
export interface EndRequest {
  leave: boolean;
}

/** Runs an agent until `ended` resolves. `signal` aborts together with it and ends a join that still waits. */
export async function runAgent(
  options: AgentOptionsFromFlags,
  ended: Promise<EndRequest>,
  signal: AbortSignal,
): Promise<void> {
  const folder = await StateFolder.open(options.stateDir);
  try {
    const clock = new ClockFloor({
      clock: systemClock,
      storage: { fs: systemFileSystem, folder: folder.path },
    });
    await clock.load();
    const managers = [...new Set([...options.join, ...await folder.managers()])];
    const identity = await openIdentity(options, clock, managers, signal);
    try {
      await serve(options, folder, clock, identity, managers, ended);
    } finally {
      identity.stop();
      await clock.persist();
    }
  } finally {
    folder.close();
  }
}

function openIdentity(
  options: AgentOptionsFromFlags,
  clock: ClockFloor,
  managers: string[],
  signal: AbortSignal,
): Promise<IdentityKeeper> {
  const shared = { clock, random: systemRandom, managers: () => managers, signal };
  return options.identityDir === undefined
    ? ownIdentity({ ...shared, folder: options.stateDir, token: options.token })
    : sharedIdentity({ ...shared, folder: options.identityDir });
}

async function serve(
  options: AgentOptionsFromFlags,
  folder: StateFolder,
  clock: ClockFloor,
  identity: IdentityKeeper,
  managers: string[],
  ended: Promise<EndRequest>,
): Promise<void> {
  const loaded = await loadExecutors(
    {
      docker: options.docker,
      process: options.shim === undefined ? {} : { shim: options.shim },
      modules: options.executors,
    },
    { stateDir: folder.path, nodeID: identity.current.nodeID },
  );
  const executors = [...loaded.values()];
  const state = await folder.openState();
  const dependencies = new DependencyKeeper(state, () => identity.keys());
  await dependencies.load();
  const agent = new Agent({
    dialer: identityDialer(identity, clock),
    executors,
    state,
    dependencies,
    clock,
    random: systemRandom,
    managers,
    bootID: readBootID(),
    facts: {
      Hostname: options.hostname,
      Platform: { OS: Deno.build.os, Architecture: Deno.build.arch },
      Resources: {
        NanoCPUs: navigator.hardwareConcurrency * 1e9,
        MemoryBytes: Deno.systemMemoryInfo().total,
      },
      Version: VERSION,
      Labels: options.labels,
      AgentOnly: options.identityDir === undefined,
      tlsInfo: () => tlsInfo(identity.current),
    },
    onTime: (time) => clock.observe(Date.parse(time)),
    onManagers: (addresses) => {
      managers.splice(0, managers.length, ...addresses);
      folder.saveManagers(addresses).then(() => clock.persist()).catch((error) =>
        logger.warn("Cannot keep the list of managers: {message}", { message: error.message })
      );
    },
    onSession: roleKeeper(options, folder),
    onState: logState(identity.current.nodeID),
    onMissingRuntimes: logMissingRuntimes(),
  });
  agent.start();
  const heap = heapKeeper();
  heap?.start();
  const { leave } = await ended;
  heap?.stop();
  if (leave) await agent.removeTasks();
  await agent.stop();
  await state.close();
  await Promise.all(executors.map((executor) => executor.close()));
}

/** None where the launcher did not ask V8 for the means (`--expose-gc`). */
function heapKeeper(): HeapKeeper | undefined {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) return undefined;
  const usedBytes = () => Deno.memoryUsage().heapUsed;
  return new HeapKeeper({ clock: systemClock, usedBytes, collect: () => gc() });
}

/** Passes changes of the node's role on to the process that can act on them. */
function roleKeeper({ identityDir }: AgentOptionsFromFlags, folder: StateFolder) {
  let known: string | undefined;
  return ({ Node: { Role } }: SessionMessage) => {
    if (identityDir === undefined || Role === known) return;
    known = Role;
    folder.saveRole(Role).catch((error) => {
      known = undefined;
      logger.warn("Cannot note the node's role: {message}", { message: error.message });
    });
  };
}

/** Says what changed, once: an agent that goes on trying says nothing new. */
function logState(nodeID: string): (state: AgentState, error: CoveyError | undefined) => void {
  const said = new SayOnce();
  return (state, error) => {
    if (state === "connecting" && error === undefined) return;
    const line = `${state} ${error?.message ?? ""}`;
    if (!said.isNew(line)) return;
    if (error) logger.warn("Node {nodeID} is {state}: {message}", { nodeID, state, message: error.message });
    else logger.info("Node {nodeID} is {state}", { nodeID, state });
  };
}

/** Says once why a runtime is missing, and when it is back. */
function logMissingRuntimes(): (reasons: Record<string, string>) => void {
  let before: Record<string, string> = {};
  return (reasons) => {
    for (const [runtime, message] of Object.entries(reasons)) {
      if (before[runtime] === message) continue;
      logger.warn("This node offers no {runtime} runtime: {message}", { runtime, message });
    }
    for (const runtime of Object.keys(before)) {
      if (!Object.hasOwn(reasons, runtime)) {
        logger.info("This node offers the {runtime} runtime again", { runtime });
      }
    }
    before = reasons;
  };
}
