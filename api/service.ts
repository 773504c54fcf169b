/** Services: what the user wants to run. */
import type { Artifact } from "./artifact.ts";
import type { Annotations, Limits, Meta, Platform, Resources, Version } from "./objects.ts";
import type { ContainerSpec } from "./container_spec.ts";
import type { DenoSpec } from "./deno_spec.ts";
import type { References } from "./dependency.ts";
import { toMs } from "./duration.ts";
import type { VirtualIP } from "./network.ts";
import type { Rollout, RolloutConfig } from "./rollout.ts";
import type { Schedule } from "./schedule.ts";
import type { ServiceDependency } from "./start_order.ts";

/**
 * A program run on the device itself by the process executor (`Runtime: "process"`).
 *
 * @example
 * ```ts
 * const clock: ProcessSpec = { Command: "/bin/sh", Args: ["-c", "while :; do date; sleep 60; done"] };
 * ```
 */
export interface ProcessSpec extends References {
  /** The program: an absolute path, or a name looked up in the node's PATH. */
  Command: string;
  Args?: string[];
  /** `NAME=value` entries; nothing is inherited from the agent but PATH. */
  Env?: string[];
  /** Files that the device fetches before the program starts; `Command` may be the name of one. */
  Artifacts?: Artifact[];
  /** All that it sees of the device is read-only, but for its own folder, `/dev/shm` and a private `/tmp`. Takes root's agent. */
  ReadOnly?: boolean;
  /** `/tmp` and `/var/tmp` are its own, in memory, and go with it. Takes root's agent. */
  PrivateTmp?: boolean;
  /** Devices that it may read and write, by their paths; its device has to let them in. */
  Devices?: string[];
  /** Working directory; default the task's own folder. */
  Dir?: string;
  /** `user`, `uid`, `user:group` or `uid:gid`; default one of the task's own, or the agent's where that is not root. */
  User?: string;
  /** Name or number; default SIGTERM. */
  StopSignal?: string;
  /** Nanoseconds between the stop signal and SIGKILL; default 10 s. */
  StopGracePeriod?: number;
}

/**
 * A task of somebody else's executor: `Runtime` names it, the payload is its own business (SwarmKit generic runtime).
 *
 * @example
 * ```ts
 * const timer: GenericSpec = { Payload: { Seconds: 60, ExitCode: 0 } };
 * ```
 */
export interface GenericSpec {
  Payload: unknown;
}

/**
 * When a task that ended is run again. Durations in nanoseconds; `MaxAttempts` 0 means no limit.
 *
 * @example
 * ```ts
 * const threeTimes: RestartPolicy = { Condition: "on-failure", Delay: 5e9, MaxAttempts: 3, Window: 60e9 };
 * ```
 */
export interface RestartPolicy {
  Condition?: "none" | "on-failure" | "any";
  Delay?: number;
  MaxAttempts?: number;
  Window?: number;
}

/** Spread tasks evenly over the values of a node or engine label. */
export interface PlacementPreference {
  Spread: { SpreadDescriptor: string };
}

/**
 * Where tasks may run. `MaxReplicas` 0 means no limit per node.
 *
 * @example
 * ```ts
 * const onSensors: Placement = {
 *   Constraints: ["node.labels.kind==sensor", "node.platform.arch!=x86_64"],
 *   Preferences: [{ Spread: { SpreadDescriptor: "node.labels.room" } }],
 *   MaxReplicas: 1,
 * };
 * ```
 */
export interface Placement {
  Constraints?: string[];
  Preferences?: PlacementPreference[];
  MaxReplicas?: number;
  Platforms?: Platform[];
}

/** Log driver of a task. */
export interface LogDriver {
  Name?: string;
  Options?: Record<string, string>;
}

/** A network to attach to. */
export interface NetworkAttachmentConfig {
  Target: string;
  Aliases?: string[];
  DriverOpts?: Record<string, string>;
}

/**
 * What one task is. `Runtime` selects the executor: `container` (default), `process`, `deno`, or the runtime of an
 * executor loaded with `--executor`.
 *
 * @example
 * ```ts
 * const task: TaskSpec = {
 *   Runtime: RUNTIME_PROCESS,
 *   ProcessSpec: { Command: "/bin/sleep", Args: ["1000"] },
 *   Resources: { Limits: { MemoryBytes: 32 * 1024 ** 2 } },
 *   ForceUpdate: 0,
 * };
 * ```
 */
export interface TaskSpec {
  ContainerSpec?: ContainerSpec;
  ProcessSpec?: ProcessSpec;
  DenoSpec?: DenoSpec;
  GenericSpec?: GenericSpec;
  Resources?: { Limits?: Limits; Reservations?: Resources };
  RestartPolicy?: RestartPolicy;
  Placement?: Placement;
  LogDriver?: LogDriver;
  Networks?: NetworkAttachmentConfig[];
  /** Services of the same node that come first: an extension of the Engine API. */
  DependsOn?: ServiceDependency[];
  /** When the device runs a global job's program: an extension of the Engine API. */
  Schedule?: Schedule;
  /** Raised to replace every task although nothing else changed; in its digits where a number would round it. */
  ForceUpdate: number | string;
  Runtime: string;
}

/**
 * How tasks are replaced. Durations in nanoseconds; `Parallelism` 0 means all at once.
 *
 * @example
 * ```ts
 * const oneByOne: UpdateConfig = { Parallelism: 1, Monitor: 10e9, FailureAction: "rollback", Order: "stop-first" };
 * ```
 */
export interface UpdateConfig {
  Parallelism: number;
  Delay?: number;
  FailureAction?: "pause" | "continue" | "rollback";
  Monitor?: number;
  MaxFailureRatio?: number;
  Order?: "stop-first" | "start-first";
  /** Stages of a fleet rollout: an extension of the Engine API. */
  Rollout?: RolloutConfig;
}

/**
 * How many tasks; those of a job run to their end instead of for ever.
 *
 * @example
 * ```ts
 * const everywhere: ServiceMode = { Global: {} };
 * const three: ServiceMode = { Replicated: { Replicas: 3 } };
 * const tenTimesTwoAtOnce: ServiceMode = { ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 10 } };
 * const onceOnEachNode: ServiceMode = { GlobalJob: {} };
 * ```
 */
export type ServiceMode =
  | { Replicated: { Replicas: number } }
  | { Global: Record<string, never> }
  | { ReplicatedJob: { MaxConcurrent: number; TotalCompletions: number } }
  | { GlobalJob: Record<string, never> };

/** A published port. */
export interface PortConfig {
  Name?: string;
  Protocol: "tcp" | "udp" | "sctp";
  TargetPort: number;
  PublishedPort?: number;
  PublishMode: "ingress" | "host";
}

/**
 * How a service is reached.
 *
 * @example
 * ```ts
 * const http: EndpointSpec = {
 *   Ports: [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" }],
 * };
 * ```
 */
export interface EndpointSpec {
  Mode?: "vip" | "dnsrr";
  Ports?: PortConfig[];
}

/**
 * What the user asked for; never edited by the system.
 *
 * @example
 * ```ts
 * const hello: ServiceSpec = {
 *   Name: "hello",
 *   Labels: {},
 *   TaskTemplate: { Runtime: RUNTIME_CONTAINER, ContainerSpec: { Image: "nginx" }, ForceUpdate: 0 },
 *   Mode: { Replicated: { Replicas: 2 } },
 * };
 * ```
 */
export interface ServiceSpec extends Annotations {
  TaskTemplate: TaskSpec;
  Mode: ServiceMode;
  UpdateConfig?: UpdateConfig;
  RollbackConfig?: UpdateConfig;
  /** As a client named them beside the task template, and sees them there again; what counts are the template's. */
  Networks?: NetworkAttachmentConfig[];
  EndpointSpec?: EndpointSpec;
}

/** True for a service with ports that every node of the cluster answers. */
export function publishesByIngress({ EndpointSpec }: Pick<ServiceSpec, "EndpointSpec">): boolean {
  return EndpointSpec?.Ports?.some(({ PublishMode }) => PublishMode === "ingress") ?? false;
}

/**
 * What a service was given: the numbers of ports that it left open, and its addresses. There only where it publishes ports
 * on every node, or has an address in a network of the cluster; of the spec that `Spec` repeats, which may be an earlier one.
 *
 * @example
 * ```ts
 * const endpoint: Endpoint = {
 *   Spec: { Mode: "vip" },
 *   VirtualIPs: [{ NetworkID: "abc", Addr: "10.0.1.2/24" }],
 * };
 * ```
 */
export interface Endpoint {
  Spec: EndpointSpec;
  /** Those of the spec, each with the number it is reached at. */
  Ports?: PortConfig[];
  VirtualIPs?: VirtualIP[];
}

/** Where an update stands. */
export interface UpdateStatus {
  State: "updating" | "paused" | "completed" | "rollback_started" | "rollback_paused" | "rollback_completed";
  StartedAt?: string;
  CompletedAt?: string;
  Message: string;
  /** How far it is: an extension of the Engine API. */
  Rollout?: Rollout;
}

/**
 * Which run of a job it is: each change of the service starts another.
 *
 * @example
 * ```ts
 * const third: JobStatus = { JobIteration: { Index: 2 }, LastExecution: "2026-01-01T00:00:00.000Z" };
 * ```
 */
export interface JobStatus {
  JobIteration: Version;
  /** When this run was asked for. */
  LastExecution: string;
}

/**
 * A service as stored.
 *
 * @example
 * ```ts
 * // Whether a rollout waits for somebody.
 * function isPaused({ UpdateStatus }: Service): boolean {
 *   return UpdateStatus?.State === "paused" || UpdateStatus?.State === "rollback_paused";
 * }
 * ```
 */
export interface Service extends Meta {
  Spec: ServiceSpec;
  /** The version the tasks of the current spec carry; moves only when the spec does. */
  SpecVersion: Version;
  PreviousSpec?: ServiceSpec;
  PreviousSpecVersion?: Version;
  /** The last spec that went through all stages, where that is neither the present nor the previous one. */
  Proven?: { Spec: ServiceSpec; SpecVersion: Version };
  UpdateStatus?: UpdateStatus;
  Endpoint?: Endpoint;
  /** Where it equals `SpecVersion`, what is rolled out are other variables: there is no spec to go back to. */
  VariablesVersion?: Version;
  /** There in a job, and only there. */
  JobStatus?: JobStatus;
}

/**
 * The runtime served by the docker executor.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(RUNTIME_CONTAINER, "container");
 * ```
 */
export const RUNTIME_CONTAINER = "container";
/**
 * The runtime served by the process executor.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(RUNTIME_PROCESS, "process");
 * ```
 */
export const RUNTIME_PROCESS = "process";
/**
 * The runtime served by the deno executor.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(RUNTIME_DENO, "deno");
 * ```
 */
export const RUNTIME_DENO = "deno";

/** The field of `ServiceSpec.Mode` that is set. */
type ModeField = ServiceMode extends infer M ? M extends ServiceMode ? keyof M : never : never;

/** Every mode by the name that filters and lists give it. */
const MODE_NAMES = {
  Replicated: "replicated",
  Global: "global",
  ReplicatedJob: "replicated-job",
  GlobalJob: "global-job",
} as const satisfies Record<ModeField, string>;

/**
 * A service's mode by name. Each has its own orchestrator.
 *
 * @example
 * ```ts
 * const mode: ModeName = "global";
 * ```
 */
export type ModeName = typeof MODE_NAMES[ModeField];

/**
 * The mode of a service.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(modeOf({ Mode: { Replicated: { Replicas: 1 } } }), "replicated");
 * ```
 */
export function modeOf(spec: Pick<ServiceSpec, "Mode">): ModeName {
  const [field] = Object.keys(spec.Mode) as ModeField[];
  return MODE_NAMES[field!];
}

/** Milliseconds between the signal to stop and the end by force, unless the spec says otherwise (Docker). */
const DEFAULT_STOP_GRACE_MS = 10_000;

/**
 * How long a task may take to stop once it is told to, in milliseconds.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const task = { ForceUpdate: 0, Runtime: "process" };
 * assert.equal(stopGraceMs({ ...task, ProcessSpec: { Command: "run" } }), 10_000);
 * assert.equal(stopGraceMs({ ...task, ProcessSpec: { Command: "run", StopGracePeriod: 1e9 } }), 1000);
 * ```
 */
export function stopGraceMs(
  { ContainerSpec, ProcessSpec, DenoSpec }: Pick<TaskSpec, "ContainerSpec" | "ProcessSpec" | "DenoSpec">,
): number {
  return toMs((ContainerSpec ?? ProcessSpec ?? DenoSpec)?.StopGracePeriod, DEFAULT_STOP_GRACE_MS);
}

/**
 * True for one task per eligible node.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.ok(isGlobal({ Mode: { Global: {} } }));
 * assert.ok(!isGlobal({ Mode: { Replicated: { Replicas: 1 } } }));
 * ```
 */
export function isGlobal(spec: Pick<ServiceSpec, "Mode">): boolean {
  return modeOf(spec) === "global";
}

/**
 * Wanted number of tasks of a replicated service; 0 for a global one.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(replicas({ Mode: { Replicated: { Replicas: 3 } } }), 3);
 * assert.equal(replicas({ Mode: { Global: {} } }), 0);
 * ```
 */
export function replicas(spec: Pick<ServiceSpec, "Mode">): number {
  return "Replicated" in spec.Mode ? spec.Mode.Replicated.Replicas : 0;
}

/**
 * True for a service whose tasks run to their end.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.ok(isJob({ Mode: { GlobalJob: {} } }));
 * assert.ok(!isJob({ Mode: { Global: {} } }));
 * ```
 */
export function isJob(spec: Pick<ServiceSpec, "Mode">): boolean {
  return "ReplicatedJob" in spec.Mode || "GlobalJob" in spec.Mode;
}
