/** `/info` and `/version`: the engine's answer where there is one, with the swarm being ours. */
import type { ManagerHandle } from "../lifecycle.ts";
import { requireCluster } from "../../cluster/cluster_object.ts";
import type { ControlContext } from "../context.ts";
import { API_VERSION, MIN_API_VERSION } from "../api_version.ts";
import { clusterInfo } from "./swarm_view.ts";

const TWO_MANAGERS = `WARNING: Running Swarm in a two-manager configuration. This configuration provides
         no fault tolerance, and poses a high risk to lose control over the cluster.
         Refer to https://docs.docker.com/engine/swarm/admin_guide/ to configure the
         Swarm for fault-tolerance.`;

/** The `Swarm` section. */
function swarmSection({ lifecycle }: ControlContext): Record<string, unknown> {
  const peers = lifecycle.remoteManagers.map(({ NodeID, Addr }) => ({ NodeID, Addr }));
  const manager = lifecycle.state === "active" ? lifecycle.manager : undefined;
  return {
    NodeID: lifecycle.nodeID,
    NodeAddr: lifecycle.nodeAddr,
    LocalNodeState: lifecycle.state,
    ControlAvailable: manager !== undefined,
    Error: lifecycle.error,
    RemoteManagers: peers.length === 0 ? null : peers,
    ...(manager !== undefined && managerSection(manager)),
  };
}

function managerSection({ store, consensus }: ManagerHandle): Record<string, unknown> {
  const { members } = consensus.status();
  const managers =
    store.all("nodes").filter((node) => members.some((each) => each.nodeID === node.ID)).length;
  return {
    Nodes: store.count("nodes"),
    Managers: managers,
    Cluster: clusterInfo(requireCluster(store)),
    ...(managers === 2 && { Warnings: [TWO_MANAGERS] }),
  };
}

/** `/info`. */
export async function infoView(context: ControlContext): Promise<Record<string, unknown>> {
  const engine = await context.engine?.getObject("/info");
  const Swarm = swarmSection(context);
  return engine === undefined ? { ...ownInfo(context), Swarm } : { ...engine, Swarm };
}

/** What this node says of itself without an engine: the device's description as its agent gave it. */
function ownInfo({ lifecycle, clock, version }: ControlContext): Record<string, unknown> {
  const node = lifecycle.manager?.store.get("nodes", lifecycle.nodeID);
  const { Hostname = "", Platform, Resources, Engine } = node?.Description ?? {};
  return {
    ID: lifecycle.nodeID,
    Containers: 0,
    ContainersRunning: 0,
    ContainersPaused: 0,
    ContainersStopped: 0,
    Images: 0,
    Driver: "none",
    DriverStatus: [],
    Plugins: { Volume: [], Network: [], Authorization: [], Log: [] },
    SystemTime: new Date(clock.now()).toISOString(),
    LoggingDriver: "none",
    OSType: Platform?.OS ?? Deno.build.os,
    Architecture: Platform?.Architecture ?? Deno.build.arch,
    NCPU: Math.round((Resources?.NanoCPUs ?? 0) / 1e9),
    MemTotal: Resources?.MemoryBytes ?? 0,
    Name: Hostname,
    Labels: Object.entries(Engine?.Labels ?? {}).map(([key, value]) => `${key}=${value}`),
    ExperimentalBuild: false,
    ServerVersion: version,
    LiveRestoreEnabled: true,
    SecurityOptions: [],
    Warnings: ["WARNING: No container engine on this node"],
  };
}

/** `/version`: Covey first, then the engine's own parts. */
export async function versionView({ engine, version }: ControlContext): Promise<Record<string, unknown>> {
  const below = await engine?.getObject("/version");
  const parts = Array.isArray(below?.Components) ? below.Components : [];
  const { os, arch } = Deno.build;
  const own = {
    Version: version,
    ApiVersion: API_VERSION,
    MinAPIVersion: MIN_API_VERSION,
    Os: os,
    Arch: arch === "x86_64" ? "amd64" : arch === "aarch64" ? "arm64" : arch,
  };
  const { Version: _version, ...details } = { ...own, Deno: Deno.version.deno };
  return {
    Platform: { Name: "Covey" },
    Components: [{ Name: "Covey", Version: version, Details: details }, ...parts],
    ...own,
    GitCommit: "",
    GoVersion: "",
    KernelVersion: below?.KernelVersion ?? "",
    BuildTime: "",
  };
}
