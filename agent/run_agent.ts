/** An agent as a process: puts the parts together and ends them in order. */
import { SayOnce, withoutNumbers } from "../api/say_once.ts";
import { getLogger } from "../api/log.ts";
import { systemClock } from "../api/clock.ts";
import type { SessionMessage } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { systemRandom } from "../api/random.ts";
import type { Executor } from "../executors/executor.ts";
import type { OverlayNetworks } from "../executors/overlay_networks.ts";
import { loadExecutors } from "../executors/load.ts";
import { ClockFloor } from "../security/clock_floor.ts";
import { systemFileSystem } from "../security/file_system.ts";
import { IdentityStore } from "../security/identity_store.ts";
import { Agent, type AgentState } from "./agent.ts";
import { DependencyKeeper } from "./dependencies.ts";
import { readDeviceFacts } from "./device_facts.ts";
import { HeapKeeper, type HeapLook } from "./heap_keeper.ts";
import { identityDialer, type IdentityKeeper, ownIdentity, sharedIdentity } from "./identity.ts";
import { nodeTLSInfo } from "../security/root_tls_info.ts";
import { LateIdentity } from "./late_identity.ts";
import type { LocalState } from "./local_state.ts";
import { openNetworks } from "./networks.ts";
import type { AgentOptionsFromFlags } from "./options.ts";
import { Meter } from "./meter.ts";
import { openLocal } from "./local/open_local.ts";
import { isQuiet } from "./quiet.ts";
import { Renewal } from "./renewal.ts";
import { readBootID, StateFolder } from "./state_folder.ts";
import { TrafficCounter } from "./traffic.ts";
import { Worker } from "./worker.ts";

/** Version of the agent, shown where no engine has a version. */
const VERSION = "0.1.0";

/** V8 gives freed pages back to the system with this one only: 4 MB of an idle agent, 14 MB of one that was busy. */
const COLLECT_ALL = { type: "major", execution: "sync", flavor: "last-resort" };
/**
 * At this signal Deno, told to by `launch.sh`, has the C library return what is free between blocks in use: 7 MB of an
 * agent that was busy, which it never returns by itself.
 */
const GIVE_BACK = "SIGUSR2";

const logger = getLogger(["covey", "agent"]);

/** How an agent is asked to end. */
export interface EndRequest {
  /** The node leaves its cluster, so its tasks are removed first. */
  leave: boolean;
  /** It asks so itself. */
  startAgain?: boolean;
}

/** The flags, and what came beside them. */
export interface RunAgentOptions extends AgentOptionsFromFlags {
  /** Unseals the private keys of the manager beside this agent. */
  identityKey: Uint8Array | undefined;
}

/**
 * Runs an agent until `ended` resolves. `signal` aborts together with it and ends a join that still waits. `renew` is called when
 * the agent is to be started again, and has `ended` resolve.
 */
export async function runAgent(
  options: RunAgentOptions,
  ended: Promise<EndRequest>,
  signal: AbortSignal,
  renew: () => void,
): Promise<void> {
  const folder = await StateFolder.open(options.stateDir);
  try {
    const clock = new ClockFloor({
      clock: systemClock,
      storage: { fs: systemFileSystem, folder: folder.path },
    });
    await clock.load();
    const managers = [...new Set([...options.join, ...await folder.managers()])];
    const store = new IdentityStore(
      systemFileSystem,
      options.identityDir ?? folder.path,
      options.identityKey,
    );
    const mayNotSeal = await folder.isOnTrial(options.programVersion), { leave } = options;
    const state = await folder.openState({ clock, signal, identity: store, mayNotSeal, leave });
    if (leave) return await leaveCluster(options, folder, clock, state);
    const open = () => openIdentity(options, clock, managers, signal);
    // Tasks on record run without a certificate: it may be damaged, or every manager away.
    const [task] = state.tasks();
    const identity = task ? new LateIdentity(task.task.NodeID, () => store.keys(), open) : await open();
    try {
      await serve(options, folder, clock, identity, state, managers, ended, renew);
    } finally {
      identity.stop();
      await clock.persist();
    }
  } finally {
    folder.close();
  }
}

function openIdentity(
  options: RunAgentOptions,
  clock: ClockFloor,
  managers: string[],
  signal: AbortSignal,
): Promise<IdentityKeeper> {
  const shared = { clock, random: systemRandom, managers: () => managers, signal };
  return options.identityDir === undefined
    ? ownIdentity({ ...shared, folder: options.stateDir, token: options.token })
    : sharedIdentity({ ...shared, folder: options.identityDir, sealKey: options.identityKey });
}

/** Ends what the node runs and forgets its cluster, with no word to a manager: none may be in reach, or let this node in. */
async function leaveCluster(
  options: AgentOptionsFromFlags,
  folder: StateFolder,
  clock: ClockFloor,
  state: LocalState,
): Promise<void> {
  const [task] = state.tasks();
  // Who has no task on record has no networks either, but for the ports of others.
  const nodeID = task?.task.NodeID ?? (await identityOf(folder))?.nodeID ?? "";
  const networks = await openNetworks(options, folder, nodeID, () => tasksOf(state));
  const executors = await loadFor(options, folder, nodeID, networks?.keeper);
  const dependencies = new DependencyKeeper(state);
  await dependencies.load();
  // Nothing is started any more, and so no template is filled in.
  const node = () => Promise.reject(new CoveyError("canceled", "Cannot go on: the node leaves its cluster"));
  const bootID = readBootID();
  const parts = { clock, executors, state, dependencies, networks: networks?.keeper, bootID, node };
  const worker = new Worker({ ...parts, onStatus: () => {} });
  worker.start();
  const { size } = worker;
  await worker.removeAll();
  await worker.stop();
  await dependencies.wipe();
  state.setNode({ index: 0 });
  state.forgetSeal();
  await state.close();
  await Promise.all(executors.map((executor) => executor.close()));
  await networks?.keeper.close();
  await new IdentityStore(systemFileSystem, folder.path).remove();
  await folder.saveManagers([]);
  logger.info("This node has left its cluster; {size} tasks were stopped", { size });
}

/** A damaged one is none. */
async function identityOf(folder: StateFolder) {
  return await new IdentityStore(systemFileSystem, folder.path).load().catch(() => undefined);
}

function* tasksOf(state: LocalState) {
  for (const { task } of state.tasks()) yield task;
}

async function loadFor(
  options: AgentOptionsFromFlags,
  folder: StateFolder,
  nodeID: string,
  networks: OverlayNetworks | undefined,
): Promise<Executor[]> {
  const { docker, shim, executors: modules } = options;
  const choice = { docker, process: shim === undefined ? {} : { shim }, modules };
  return [
    ...(await loadExecutors(choice, { stateDir: folder.path, nodeID, ...(networks && { networks }) }))
      .values(),
  ];
}

async function serve(
  options: AgentOptionsFromFlags,
  folder: StateFolder,
  clock: ClockFloor,
  identity: IdentityKeeper,
  state: LocalState,
  managers: string[],
  ended: Promise<EndRequest>,
  renew: () => void,
): Promise<void> {
  // Before the first session tells of others: an agent that is ended meanwhile must find its way back without --join.
  await folder.saveManagers(managers).catch((error) =>
    logger.warn("Cannot keep the managers' addresses: {message}", { message: error.message })
  );
  const networks = await openNetworks(options, folder, identity.nodeID, () => tasksOf(state));
  const executors = await loadFor(options, folder, identity.nodeID, networks?.keeper);
  if (!state.isInClear) state.seal(await identity.keys().catch(() => []));
  const dependencies = new DependencyKeeper(state, () => identity.keys());
  await dependencies.load();
  const local = await openLocal(folder.path, clock, options.local);
  const traffic = new TrafficCounter();
  const meter = new Meter(clock, executors, () => systemClock.now(), () => traffic.totals);
  const keep = sessionKeeper(options, folder), log = logState(identity.nodeID);
  const agent = new Agent({
    metrics: () => meter.latest,
    dialer: identityDialer(identity, clock, traffic),
    executors,
    state,
    dependencies,
    ...(networks && { networks: networks.keeper, relay: networks.relay, drains: networks.drains }),
    clock,
    random: systemRandom,
    managers,
    bootID: readBootID(),
    deviceFacts: () => readDeviceFacts(folder.path, clock, local.locks.ofTasks),
    outfit: (task) => local.passes?.outfit(task) ?? Promise.resolve(task),
    facts: {
      Hostname: options.hostname,
      Platform: { OS: Deno.build.os, Architecture: Deno.build.arch },
      Resources: {
        NanoCPUs: navigator.hardwareConcurrency * 1e9,
        MemoryBytes: Deno.systemMemoryInfo().total,
      },
      Version: VERSION,
      Labels: options.labels,
      ...(options.dataPath !== "" && { DataPathAddr: options.dataPath }),
      AgentOnly: options.identityDir === undefined,
      ...programOf(options),
      tlsInfo: () => nodeTLSInfo(identity.current),
    },
    onTime: (time) => clock.tell(Date.parse(time)),
    knowsTime: () => clock.isKnown,
    onManagers: (addresses) => {
      managers.splice(0, managers.length, ...addresses);
      folder.saveManagers(addresses).then(() => clock.persist()).catch((error) =>
        logger.warn("Cannot keep the list of managers: {message}", { message: error.message })
      );
    },
    onSession: (message) => {
      identity.heard(message);
      keep.heard(message);
    },
    onState: (state, error) => {
      if (error?.reason === "former_root") {
        identity.refused();
        keep.refused();
      }
      log(state, error);
    },
    onMissingRuntimes: logMissingRuntimes(),
  });
  identity.onChanged = () => agent.restate();
  agent.start();
  meter.start();
  const server = local.server(agent.worker);
  await server.start();
  const renewal = options.renewal && new Renewal({
    clock: systemClock,
    limits: options.renewal,
    residentBytes: () => Deno.memoryUsage().rss,
    isQuiet: () =>
      isQuiet({ folder, clock, programVersion: options.programVersion, locks: local.locks, server, agent }),
    renew,
  });
  const heap = heapKeeper(renewal);
  heap?.start();
  const { leave } = await ended;
  heap?.stop();
  renewal?.stop();
  await server.close();
  await meter.stop();
  if (leave) await agent.removeTasks();
  await agent.stop();
  if (leave) state.forgetSeal();
  await state.close();
  await Promise.all(executors.map((executor) => executor.close()));
  await networks?.relay.close();
  await networks?.keeper.close();
}

/** A manager's is exchanged with the manager. */
function programOf({ identityDir, programVersion }: AgentOptionsFromFlags): { Program?: string } {
  return identityDir === undefined && programVersion !== undefined ? { Program: programVersion } : {};
}

/** None where the launcher did not ask V8 for the means (`--expose-gc`). */
function heapKeeper(renewal: Renewal | undefined): HeapKeeper | undefined {
  const { gc } = globalThis as { gc?: (how: typeof COLLECT_ALL) => void };
  if (gc === undefined) return undefined;
  // Without a listener the signal would end a process that launch.sh has not told to give memory back at it.
  Deno.addSignalListener(GIVE_BACK, () => {});
  const usedBytes = () => Deno.memoryUsage().heapUsed;
  const collect = () => {
    gc(COLLECT_ALL);
    Deno.kill(Deno.pid, GIVE_BACK);
  };
  const onLook = renewal && ((look: HeapLook) => renewal.look(look));
  return new HeapKeeper({ clock: systemClock, usedBytes, collect, ...(onLook && { onLook }) });
}

/** What others than the agent want to know of its sessions. */
function sessionKeeper(options: AgentOptionsFromFlags, folder: StateFolder) {
  const notes = noteKeeper(options, folder), { programVersion } = options;
  let noted = programVersion === undefined;
  const heard = (message: SessionMessage) => {
    notes.heard(message);
    if (noted) return;
    noted = true;
    folder.saveReached(programVersion!).catch((error) => {
      noted = false;
      logger.warn("Cannot note that this version works: {message}", { message: error.message });
    });
  };
  return { heard, refused: notes.refused };
}

/** Passes changes of the node's role, and of the cluster's root, on to the process that can act on them. */
function noteKeeper({ identityDir }: AgentOptionsFromFlags, folder: StateFolder) {
  const noted = new Map<string, string>();
  const note = (what: "role" | "roots", text: string) => {
    if (identityDir === undefined || noted.get(what) === text) return;
    noted.set(what, text);
    folder.saveNote(what, text).catch((error) => {
      noted.delete(what);
      logger.warn("Cannot note the node's {what}: {message}", { what, message: error.message });
    });
  };
  let root = "";
  return {
    heard({ RootCA, Node: { Role, Renewal } }: SessionMessage) {
      root = RootCA;
      note("role", Role);
      note("roots", JSON.stringify({ RootCA, ...(Renewal && !Renewal.Done && { Issuer: Renewal.Issuer }) }));
    },
    /** Whose certificate it is to have then, no manager has said. */
    refused: () => note("roots", JSON.stringify({ RootCA: root, Issuer: "another" })),
  };
}

/** Says what changed, once: an agent that goes on trying says nothing new. */
function logState(nodeID: string): (state: AgentState, error: CoveyError | undefined) => void {
  const said = new SayOnce();
  let before: AgentState | undefined;
  return (state, error) => {
    if (state === "connecting" && error === undefined) return;
    if (error === undefined) {
      if (state === before) return;
      said.reset();
      before = state;
      return logger.info("Node {nodeID} is {state}", { nodeID, state });
    }
    before = state;
    if (!said.isNew(`${state} ${error.message}`)) return;
    const now = state === "connecting" ? "has no manager to talk to and tries again" : `is ${state}`;
    logger.warn("Node {nodeID} {now}: {message}", { nodeID, now, message: error.message });
  };
}

/** Says once why a runtime is missing, and when it is back. */
function logMissingRuntimes(): (reasons: Record<string, string>) => void {
  let before: Record<string, string> = {};
  return (reasons) => {
    for (const [runtime, message] of Object.entries(reasons)) {
      if (withoutNumbers(before[runtime] ?? "") === withoutNumbers(message)) continue;
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
