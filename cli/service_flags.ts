/** Flags of `service create` and `service update` that both share, and what they do to a service's spec. Pure. */
import type { Command } from "commander";
import { CoveyError } from "../api/errors.ts";
import {
  modeOf,
  type PortConfig,
  type ServiceMode,
  type ServiceSpec,
  type TaskSpec,
  type UpdateConfig,
} from "../api/service.ts";
import { parseBytes, parseChoice, parseCount, parseCPUs, parseDuration, parseRatio } from "./units.ts";

/** Values of the shared flags; every one is optional. */
export interface ServiceFlags {
  replicas?: string;
  maxConcurrent?: string;
  limitCpu?: string;
  limitMemory?: string;
  limitPids?: string;
  reserveCpu?: string;
  reserveMemory?: string;
  restartCondition?: string;
  restartDelay?: string;
  restartMaxAttempts?: string;
  restartWindow?: string;
  updateParallelism?: string;
  updateDelay?: string;
  updateOrder?: string;
  updateMonitor?: string;
  updateFailureAction?: string;
  updateMaxFailureRatio?: string;
  replicasMaxPerNode?: string;
  user?: string;
  workdir?: string;
  stopSignal?: string;
  stopGracePeriod?: string;
}

/** Adds the shared flags to a command. */
export function addServiceFlags(command: Command): Command {
  return command
    .option("--replicas <n>", "number of tasks; of a replicated job, how often it runs in all")
    .option("--max-concurrent <n>", "of a replicated job, tasks at once (default: all)")
    .option("--replicas-max-per-node <n>", "most tasks on one node (0 = no limit)")
    .option("--limit-cpu <cpus>", "CPUs a task may use, such as 0.5")
    .option("--limit-memory <bytes>", "memory a task may use, such as 64m")
    .option("--limit-pids <n>", "processes a task may have (0 = no limit)")
    .option("--reserve-cpu <cpus>", "CPUs to reserve for each task")
    .option("--reserve-memory <bytes>", "memory to reserve for each task")
    .option("--restart-condition <when>", 'when to restart a task: "none", "on-failure" or "any"')
    .option("--restart-delay <duration>", "wait before a restart, such as 5s")
    .option("--restart-max-attempts <n>", "most restarts before giving up (0 = no limit)")
    .option("--restart-window <duration>", "time in which restarts are counted")
    .option("--update-parallelism <n>", "tasks updated at once (0 = all)")
    .option("--update-delay <duration>", "wait between updated tasks")
    .option("--update-order <order>", '"stop-first" or "start-first"')
    .option("--update-monitor <duration>", "time after an update in which a failure counts")
    .option("--update-failure-action <action>", '"pause", "continue" or "rollback"')
    .option("--update-max-failure-ratio <ratio>", "failures to tolerate, 0 to 1")
    .option("-u, --user <user>", "user, uid, user:group or uid:gid")
    .option("-w, --workdir <dir>", "working directory")
    .option("--stop-signal <signal>", "signal that stops a task")
    .option("--stop-grace-period <duration>", "wait before a task that does not stop is killed");
}

/** The value if it is defined, through `parse`; else an empty record, so that it can be spread. */
function given<K extends string, T>(
  key: K,
  text: string | undefined,
  parse: (text: string) => T,
): { [P in K]?: T } {
  return (text === undefined ? {} : { [key]: parse(text) }) as { [P in K]?: T };
}

/** `spec` with the shared flags applied; what is not given stays. */
export function applyServiceFlags(spec: ServiceSpec, flags: ServiceFlags): ServiceSpec {
  const next = structuredClone(spec);
  const task = next.TaskTemplate;
  applyResources(task, flags);
  applyRestart(task, flags);
  applyProgram(task, flags);
  if (flags.replicasMaxPerNode !== undefined) {
    task.Placement = {
      ...task.Placement,
      MaxReplicas: parseCount("replicas-max-per-node", flags.replicasMaxPerNode),
    };
  }
  const update = updateConfig(flags);
  if (update) next.UpdateConfig = { Parallelism: 1, ...next.UpdateConfig, ...update };
  if (flags.replicas !== undefined) next.Mode = scaled(next.Mode, parseCount("replicas", flags.replicas));
  if (flags.maxConcurrent !== undefined) {
    const MaxConcurrent = parseCount("max-concurrent", flags.maxConcurrent);
    if (!("ReplicatedJob" in next.Mode)) {
      throw new CoveyError(
        "invalid_argument",
        "Cannot set --max-concurrent: the service is no replicated job",
      );
    }
    next.Mode = { ReplicatedJob: { ...next.Mode.ReplicatedJob, MaxConcurrent } };
  }
  return next;
}

/** `mode` with so many tasks; of a job it is how often it runs in all. */
export function scaled(mode: ServiceMode, count: number): ServiceMode {
  if ("Replicated" in mode) return { Replicated: { Replicas: count } };
  if ("ReplicatedJob" in mode) return { ReplicatedJob: { ...mode.ReplicatedJob, TotalCompletions: count } };
  throw new CoveyError(
    "invalid_argument",
    `Cannot set --replicas: the service is ${modeOf({ Mode: mode })}, one task per node`,
  );
}

function applyResources(task: TaskSpec, flags: ServiceFlags): void {
  const limits = {
    ...given("NanoCPUs", flags.limitCpu, (v) => parseCPUs("limit-cpu", v)),
    ...given("MemoryBytes", flags.limitMemory, (v) => parseBytes("limit-memory", v)),
    ...given("Pids", flags.limitPids, (v) => parseCount("limit-pids", v)),
  };
  const reservations = {
    ...given("NanoCPUs", flags.reserveCpu, (v) => parseCPUs("reserve-cpu", v)),
    ...given("MemoryBytes", flags.reserveMemory, (v) => parseBytes("reserve-memory", v)),
  };
  if (Object.keys(limits).length + Object.keys(reservations).length === 0) return;
  task.Resources = {
    Limits: { ...task.Resources?.Limits, ...limits },
    Reservations: { ...task.Resources?.Reservations, ...reservations },
  };
}

function applyRestart(task: TaskSpec, flags: ServiceFlags): void {
  const policy = {
    ...given(
      "Condition",
      flags.restartCondition,
      (v) => parseChoice("restart-condition", v, ["none", "on-failure", "any"] as const),
    ),
    ...given("Delay", flags.restartDelay, (v) => parseDuration("restart-delay", v)),
    ...given("MaxAttempts", flags.restartMaxAttempts, (v) => parseCount("restart-max-attempts", v)),
    ...given("Window", flags.restartWindow, (v) => parseDuration("restart-window", v)),
  };
  if (Object.keys(policy).length > 0) task.RestartPolicy = { ...task.RestartPolicy, ...policy };
}

/** The fields that containers and processes have in common. */
function applyProgram(task: TaskSpec, flags: ServiceFlags): void {
  const program = {
    ...given("User", flags.user, String),
    ...given("Dir", flags.workdir, String),
    ...given("StopSignal", flags.stopSignal, String),
    ...given("StopGracePeriod", flags.stopGracePeriod, (v) => parseDuration("stop-grace-period", v)),
  };
  // A service as it is shown has a container beside its own spec.
  Object.assign(task.ProcessSpec ?? task.DenoSpec ?? task.ContainerSpec ?? {}, program);
}

function updateConfig(flags: ServiceFlags): Partial<UpdateConfig> | undefined {
  const config = {
    ...given("Parallelism", flags.updateParallelism, (v) => parseCount("update-parallelism", v)),
    ...given("Delay", flags.updateDelay, (v) => parseDuration("update-delay", v)),
    ...given(
      "Order",
      flags.updateOrder,
      (v) => parseChoice("update-order", v, ["stop-first", "start-first"] as const),
    ),
    ...given("Monitor", flags.updateMonitor, (v) => parseDuration("update-monitor", v)),
    ...given(
      "FailureAction",
      flags.updateFailureAction,
      (v) => parseChoice("update-failure-action", v, ["pause", "continue", "rollback"] as const),
    ),
    ...given(
      "MaxFailureRatio",
      flags.updateMaxFailureRatio,
      (v) => parseRatio("update-max-failure-ratio", v),
    ),
  };
  return Object.keys(config).length > 0 ? config : undefined;
}

/** `[mode=host,]published=8080,target=80[,protocol=tcp]` or `8080:80[/udp]` as a port. */
export function parsePort(text: string): PortConfig {
  const short = /^(?:(\d+):)?(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (short) {
    return {
      Protocol: (short[3] ?? "tcp") as PortConfig["Protocol"],
      TargetPort: Number(short[2]),
      ...(short[1] !== undefined && { PublishedPort: Number(short[1]) }),
      PublishMode: "ingress",
    };
  }
  const fields = new Map(text.split(",").map((pair) => pair.split("=", 2) as [string, string]));
  if (!fields.has("target") && !fields.has("dst")) {
    throw new CoveyError(
      "invalid_argument",
      `Cannot read --publish: want published=8080,target=80 or 8080:80, current value is "${text}"`,
    );
  }
  const published = fields.get("published") ?? fields.get("src");
  return {
    Protocol: parseChoice(
      "publish protocol",
      fields.get("protocol") ?? "tcp",
      ["tcp", "udp", "sctp"] as const,
    ),
    TargetPort: parseCount("publish target", fields.get("target") ?? fields.get("dst")!),
    ...(published !== undefined && { PublishedPort: parseCount("publish published", published) }),
    PublishMode: parseChoice("publish mode", fields.get("mode") ?? "ingress", ["ingress", "host"] as const),
  };
}
