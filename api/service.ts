/** Services: what the user wants to run. */
import type { Annotations, Limits, Meta, Platform, Resources, Version } from "./objects.ts";
import type { ContainerSpec } from "./container_spec.ts";

/** A program run on the device itself by the process executor (`Runtime: "process"`). */
export interface ProcessSpec {
  /** The program: an absolute path, or a name looked up in the node's PATH. */
  Command: string;
  Args?: string[];
  /** `NAME=value` entries; nothing is inherited from the agent but PATH. */
  Env?: string[];
  /** Working directory; default the task's own folder. */
  Dir?: string;
  /** `user`, `uid`, `user:group` or `uid:gid`; default the agent's own. */
  User?: string;
  /** Name or number; default SIGTERM. */
  StopSignal?: string;
  /** Nanoseconds between the stop signal and SIGKILL; default 10 s. */
  StopGracePeriod?: number;
}

/** A task of somebody else's executor: `Runtime` names it, the payload is its own business (SwarmKit generic runtime). */
export interface GenericSpec {
  Payload: unknown;
}

/** When a task that ended is run again. Durations in nanoseconds; `MaxAttempts` 0 means no limit. */
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

/** Where tasks may run. `MaxReplicas` 0 means no limit per node. */
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
 * What one task is. `Runtime` selects the executor: `container` (default), `process`, or the runtime of an executor
 * loaded with `--executor`.
 */
export interface TaskSpec {
  ContainerSpec?: ContainerSpec;
  ProcessSpec?: ProcessSpec;
  GenericSpec?: GenericSpec;
  Resources?: { Limits?: Limits; Reservations?: Resources };
  RestartPolicy?: RestartPolicy;
  Placement?: Placement;
  LogDriver?: LogDriver;
  Networks?: NetworkAttachmentConfig[];
  /** Raised to replace every task although nothing else changed. */
  ForceUpdate: number;
  Runtime: string;
}

/** How tasks are replaced. Durations in nanoseconds; `Parallelism` 0 means all at once. */
export interface UpdateConfig {
  Parallelism: number;
  Delay?: number;
  FailureAction?: "pause" | "continue" | "rollback";
  Monitor?: number;
  MaxFailureRatio?: number;
  Order?: "stop-first" | "start-first";
}

/** How many tasks. */
export type ServiceMode = { Replicated: { Replicas: number } } | { Global: Record<string, never> };

/** A published port. */
export interface PortConfig {
  Name?: string;
  Protocol: "tcp" | "udp" | "sctp";
  TargetPort: number;
  PublishedPort?: number;
  PublishMode: "ingress" | "host";
}

/** How a service is reached. */
export interface EndpointSpec {
  Mode?: "vip" | "dnsrr";
  Ports?: PortConfig[];
}

/** What the user asked for; never edited by the system. */
export interface ServiceSpec extends Annotations {
  TaskTemplate: TaskSpec;
  Mode: ServiceMode;
  UpdateConfig?: UpdateConfig;
  RollbackConfig?: UpdateConfig;
  EndpointSpec?: EndpointSpec;
}

/** Where an update stands. */
export interface UpdateStatus {
  State: "updating" | "paused" | "completed" | "rollback_started" | "rollback_paused" | "rollback_completed";
  StartedAt?: string;
  CompletedAt?: string;
  Message: string;
}

/** A service as stored. */
export interface Service extends Meta {
  Spec: ServiceSpec;
  /** The version the tasks of the current spec carry; moves only when the spec does. */
  SpecVersion: Version;
  PreviousSpec?: ServiceSpec;
  PreviousSpecVersion?: Version;
  UpdateStatus?: UpdateStatus;
}

/** The runtime served by the docker executor. */
export const RUNTIME_CONTAINER = "container";
/** The runtime served by the process executor. */
export const RUNTIME_PROCESS = "process";

/** The field of `ServiceSpec.Mode` that is set. */
type ModeField = ServiceMode extends infer M ? M extends ServiceMode ? keyof M : never : never;

/** Every mode by the name that filters and lists give it. */
const MODE_NAMES = { Replicated: "replicated", Global: "global" } as const satisfies Record<
  ModeField,
  string
>;

/** Milliseconds between the signal to stop and the end by force, unless the spec says otherwise (Docker). */
export const DEFAULT_STOP_GRACE_MS = 10_000;

/** How long a task may take to stop once it is told to, in milliseconds. */
export function stopGraceMs({ ContainerSpec, ProcessSpec }: TaskSpec): number {
  const grace = (ContainerSpec ?? ProcessSpec)?.StopGracePeriod;
  return grace === undefined ? DEFAULT_STOP_GRACE_MS : grace / 1e6;
}

/** A service's mode by name. Each has its own orchestrator. */
export type ModeName = typeof MODE_NAMES[ModeField];

/** The mode of a service. */
export function modeOf(spec: Pick<ServiceSpec, "Mode">): ModeName {
  const [field] = Object.keys(spec.Mode) as ModeField[];
  return MODE_NAMES[field!];
}

/** True for one task per eligible node. */
export function isGlobal(spec: Pick<ServiceSpec, "Mode">): boolean {
  return modeOf(spec) === "global";
}

/** Wanted number of tasks of a replicated service; 0 for a global one. */
export function replicas(spec: Pick<ServiceSpec, "Mode">): number {
  return "Replicated" in spec.Mode ? spec.Mode.Replicated.Replicas : 0;
}
