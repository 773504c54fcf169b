/** From a task to the body of `POST /containers/create` (moby `daemon/cluster/executor/container`). */
import type { ContainerSpec, Mount } from "../../api/container_spec.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { labelledAccess } from "../../api/host_access.ts";
import type { GenericResource } from "../../api/objects.ts";
import { type PortConfig, stopGraceMs } from "../../api/service.ts";
import { type Task, taskName } from "../../api/task.ts";
import type { ContainerFiles } from "./container_files.ts";
import { type ContainerNetworks, endpointConfig } from "./container_networks.ts";
import type { GrantedAccess } from "./host_access.ts";
import { withDefaultTag } from "./image_ref.ts";

/** Every container of a task has this label. */
export const LABEL_TASK_ID = "com.docker.swarm.task.id";
/** Every container of a task says on which node it is: several may share an engine. */
export const LABEL_NODE_ID = "com.docker.swarm.node.id";
/** Marks the containers of tasks among an engine's others. */
export const LABEL_TASK = "com.docker.swarm.task";
/** Period over which the processor limit is counted, in microseconds (moby). */
const CPU_PERIOD_US = 100_000;

/** Drops undefined values, so that the engine's own defaults apply. */
function defined<T extends Record<string, unknown>>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function systemLabels(task: Task, nodeID: string): Record<string, string> {
  return {
    [LABEL_TASK]: "",
    [LABEL_TASK_ID]: task.ID,
    "com.docker.swarm.task.name": taskName(task),
    [LABEL_NODE_ID]: task.NodeID || nodeID,
    "com.docker.swarm.service.id": task.ServiceID,
    "com.docker.swarm.service.name": task.ServiceAnnotations.Name,
  };
}

/** Assigned generic resources reach the program as `DOCKER_RESOURCE_GPU=…`. */
function resourceEnv(resources: GenericResource[] = []): string[] {
  const byKind = new Map<string, (string | number)[]>();
  for (const resource of resources) {
    const { Kind, Value } = "DiscreteResourceSpec" in resource
      ? resource.DiscreteResourceSpec
      : resource.NamedResourceSpec;
    byKind.set(Kind, [...byKind.get(Kind) ?? [], Value]);
  }
  return [...byKind].map(([kind, values]) => `DOCKER_RESOURCE_${kind.toUpperCase()}=${values.join(",")}`);
}

/** Host-mode ports; ingress ones are the routing mesh's. */
function hostPorts(ports: PortConfig[] = []) {
  const exposed: Record<string, Record<string, never>> = {};
  const bindings: Record<string, { HostPort: string }[]> = {};
  for (const { PublishMode, TargetPort, Protocol, PublishedPort } of ports) {
    if (PublishMode !== "host") continue;
    const key = `${TargetPort}/${Protocol}`;
    exposed[key] = {};
    (bindings[key] ??= []).push({ HostPort: PublishedPort ? String(PublishedPort) : "" });
  }
  return { exposed, bindings };
}

/** `10.0.0.1 host alias` as `host:10.0.0.1`, `alias:10.0.0.1`. */
function extraHosts(hosts: string[]): string[] {
  return hosts.flatMap((line) => {
    const [address, ...names] = line.trim().split(/\s+/);
    return names.map((name) => `${name}:${address}`);
  });
}

function mount({ Type, Source, Target, ReadOnly, Consistency, ...options }: Mount) {
  return defined({ Type, Source, Target, ReadOnly, Consistency, ...options });
}

interface Privileges {
  CredentialSpec?: unknown;
  SELinuxContext?: { Disable?: boolean; User?: string; Role?: string; Type?: string; Level?: string } | null;
  Seccomp?: { Mode?: string; Profile?: string } | null;
  AppArmor?: { Mode?: string } | null;
  NoNewPrivileges?: boolean;
}

function securityOptions(privileges: Privileges): string[] {
  const options: string[] = [];
  const selinux = privileges.SELinuxContext;
  if (selinux?.Disable) options.push("label=disable");
  else {
    for (const key of ["User", "Role", "Type", "Level"] as const) {
      if (selinux?.[key]) options.push(`label=${key.toLowerCase()}:${selinux[key]}`);
    }
  }
  if (privileges.Seccomp?.Mode === "unconfined") options.push("seccomp=unconfined");
  if (privileges.Seccomp?.Mode === "custom") {
    options.push(`seccomp=${atob(privileges.Seccomp.Profile ?? "")}`);
  }
  if (privileges.AppArmor?.Mode === "disabled") options.push("apparmor=unconfined");
  if (privileges.NoNewPrivileges) options.push("no-new-privileges");
  return options;
}

function hostConfig(
  task: Task,
  spec: ContainerSpec,
  files: ContainerFiles,
  networks: ContainerNetworks | undefined,
  access: GrantedAccess,
) {
  const { Limits, Reservations } = task.Spec.Resources ?? {};
  const { bindings } = hostPorts(task.Ports);
  const log = task.Spec.LogDriver ?? task.LogDriver;
  const security = securityOptions(spec.Privileges ?? {});
  return defined({
    Memory: Limits?.MemoryBytes || undefined,
    MemoryReservation: Reservations?.MemoryBytes || undefined,
    CpuPeriod: Limits?.NanoCPUs ? CPU_PERIOD_US : undefined,
    CpuQuota: Limits?.NanoCPUs ? Math.round(Limits.NanoCPUs * CPU_PERIOD_US / 1e9) : undefined,
    PidsLimit: Limits?.Pids || undefined,
    GroupAdd: spec.Groups,
    ...access,
    PortBindings: bindings,
    Mounts: spec.Mounts || files.mounts.length > 0
      ? [...spec.Mounts?.map(mount) ?? [], ...files.mounts]
      : undefined,
    ReadonlyRootfs: spec.ReadOnly,
    Isolation: spec.Isolation,
    Init: spec.Init ?? undefined,
    Sysctls: networks === undefined ? spec.Sysctls : { ...NETWORK_SYSCTLS, ...spec.Sysctls },
    CapAdd: spec.CapabilityAdd,
    CapDrop: spec.CapabilityDrop,
    Ulimits: spec.Ulimits,
    OomScoreAdj: spec.OomScoreAdj,
    ExtraHosts: spec.Hosts && extraHosts(spec.Hosts),
    Dns: spec.DNSConfig?.Nameservers ?? (networks?.nameservers.length ? networks.nameservers : undefined),
    DnsSearch: spec.DNSConfig?.Search,
    DnsOptions: spec.DNSConfig?.Options,
    SecurityOpt: security.length > 0 ? security : undefined,
    LogConfig: log?.Name ? { Type: log.Name, Config: log.Options ?? {} } : undefined,
    // One that every engine has: those know neither aliases nor options.
    NetworkMode: networks?.mode ?? task.Spec.Networks?.[0]?.Target,
    // The agent restarts tasks, never the engine.
    RestartPolicy: { Name: "no" },
  });
}

/**
 * A connection by a service's address may get a port that another, of the same source address, had just before: its server,
 * which remembers that one for a minute (RFC 6191), takes it for the newer by its timestamps alone. They have to be those
 * of the host's one clock then, as 2 has them, and not begin anywhere for each connection.
 */
const NETWORK_SYSCTLS = { "net.ipv4.tcp_timestamps": "2" };

const NO_FILES: ContainerFiles = { mounts: [], links: [], env: [] };

/**
 * The body that creates `task`'s container, with the files, networks and what of the device it has; the spec must have passed
 * {@linkcode checkContainerTask}.
 */
export function createBody(
  task: Task,
  nodeID: string,
  files = NO_FILES,
  networks?: ContainerNetworks,
  access: GrantedAccess = {},
): Record<string, unknown> {
  const spec = task.Spec.ContainerSpec!;
  return defined({
    Image: withDefaultTag(spec.Image),
    // A command replaces the image's whole invocation; arguments alone go to its entry point.
    Entrypoint: spec.Command?.length ? spec.Command : undefined,
    Cmd: spec.Args?.length ? spec.Args : undefined,
    Env: [...spec.Env ?? [], ...files.env, ...resourceEnv(task.AssignedGenericResources)],
    WorkingDir: spec.Dir,
    User: spec.User,
    Hostname: spec.Hostname,
    Labels: { ...spec.Labels, ...systemLabels(task, nodeID) },
    Tty: spec.TTY,
    OpenStdin: spec.OpenStdin,
    StopSignal: spec.StopSignal,
    StopTimeout: spec.StopGracePeriod === undefined ? undefined : stopSeconds(spec),
    Healthcheck: spec.Healthcheck,
    ExposedPorts: hostPorts(task.Ports).exposed,
    HostConfig: hostConfig(task, spec, files, networks, access),
    NetworkingConfig: networks?.first &&
      { EndpointsConfig: { [networks.mode]: endpointConfig(networks.first) } },
  });
}

/** Grace period in whole seconds, rounded up; the engine counts no finer. */
export function stopSeconds(spec: ContainerSpec): number {
  return Math.ceil(stopGraceMs({ ContainerSpec: spec }) / 1000);
}

/**
 * Refuses what this executor cannot do, rather than leaving it out silently.
 *
 * @throws {CoveyError} `invalid_argument` with every problem.
 */
export function checkContainerTask(task: Task): void {
  const problems: FieldProblem[] = [];
  const spec = task.Spec.ContainerSpec;
  if (!spec) problems.push({ field: "ContainerSpec", message: "missing" });
  if (spec && !spec.Image) problems.push({ field: "ContainerSpec.Image", message: "missing" });
  if (spec?.Image && !/^[A-Za-z0-9][A-Za-z0-9._:@/-]*$/.test(spec.Image)) {
    problems.push({ field: "ContainerSpec.Image", message: `invalid reference format: ${spec.Image}` });
  }
  if (spec) labelledAccess(spec.Labels, "ContainerSpec.Labels", problems);
  if (task.NetworkAttachments === undefined && (task.Spec.Networks?.length ?? 0) > 1) {
    problems.push({ field: "Networks", message: "more than one network is not supported" });
  }
  if (problems.length > 0) throw CoveyError.invalid("run task as a container", problems);
}
