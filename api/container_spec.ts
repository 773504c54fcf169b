/** The part of a task that the Docker executor reads: the Engine API's `TaskSpec.ContainerSpec`. Durations in nanoseconds. */

import type { References } from "./dependency.ts";

/** A mount of a container. */
export interface Mount {
  Type: "bind" | "volume" | "image" | "tmpfs" | "npipe" | "cluster";
  Source?: string;
  Target: string;
  ReadOnly?: boolean;
  Consistency?: string;
  BindOptions?: {
    Propagation?: string;
    NonRecursive?: boolean;
    CreateMountpoint?: boolean;
    ReadOnlyNonRecursive?: boolean;
    ReadOnlyForceRecursive?: boolean;
  };
  VolumeOptions?: {
    NoCopy?: boolean;
    Labels?: Record<string, string>;
    Subpath?: string;
    DriverConfig?: { Name?: string; Options?: Record<string, string> };
  };
  ImageOptions?: { Subpath?: string };
  TmpfsOptions?: { SizeBytes?: number; Mode?: number };
}

/** A command that says whether a container is healthy. */
export interface HealthConfig {
  Test?: string[];
  Interval?: number;
  Timeout?: number;
  Retries?: number;
  StartPeriod?: number;
  StartInterval?: number;
}

/** A resource limit of a process. */
export interface Ulimit {
  Name: string;
  Soft: number;
  Hard: number;
}

/**
 * A container as a service describes it.
 *
 * @example
 * ```ts
 * const web: ContainerSpec = {
 *   Image: "nginx:1.29",
 *   Env: ["TZ=UTC"],
 *   Mounts: [{ Type: "volume", Source: "pages", Target: "/usr/share/nginx/html" }],
 *   Healthcheck: { Test: ["CMD", "curl", "-f", "http://localhost"], Interval: 10e9 },
 * };
 * ```
 */
export interface ContainerSpec extends References {
  Image: string;
  Labels?: Record<string, string>;
  Command?: string[];
  Args?: string[];
  Hostname?: string;
  Env?: string[];
  Dir?: string;
  User?: string;
  Groups?: string[];
  Privileges?: Record<string, unknown>;
  Init?: boolean | null;
  StopSignal?: string;
  TTY?: boolean;
  OpenStdin?: boolean;
  ReadOnly?: boolean;
  Mounts?: Mount[];
  StopGracePeriod?: number;
  Healthcheck?: HealthConfig;
  Hosts?: string[];
  DNSConfig?: { Nameservers?: string[]; Search?: string[]; Options?: string[] };
  Isolation?: string;
  Sysctls?: Record<string, string>;
  CapabilityAdd?: string[];
  CapabilityDrop?: string[];
  Ulimits?: Ulimit[];
  OomScoreAdj?: number;
  /** Credentials for the image's registry, as the engine takes them: never shown, and never taken from a client's spec. */
  PullOptions?: { RegistryAuth: string };
}
