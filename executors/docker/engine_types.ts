/** The parts of the Engine API's answers that the executor reads. */

/** `GET /containers/{id}/json` */
export interface ContainerInspect {
  Id: string;
  /** ID of its image. */
  Image?: string;
  Config: { Labels?: Record<string, string> };
  State: {
    Status: "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";
    Running: boolean;
    OOMKilled: boolean;
    Pid: number;
    ExitCode: number;
    Error: string;
    /** `0001-01-01T00:00:00Z` until it is started. */
    StartedAt: string;
    Health?: { Status: "none" | "starting" | "healthy" | "unhealthy" };
  };
  /** Bindings by `80/tcp`; null for a port that is exposed only. */
  NetworkSettings?: { Ports?: Record<string, { HostPort: string }[] | null> | null };
}

/** One of `GET /containers/json` */
export interface ContainerSummary {
  Id: string;
  Labels: Record<string, string>;
}

/** `GET /images/{name}/json` */
export interface ImageInspect {
  Id: string;
  Os: string;
  Architecture: string;
}

/** `GET /info` */
export interface EngineInfo {
  ServerVersion: string;
  Name: string;
  NCPU: number;
  MemTotal: number;
  Architecture: string;
  OSType: string;
  Labels?: string[] | null;
  Plugins: {
    Volume?: string[] | null;
    Network?: string[] | null;
    Authorization?: string[] | null;
    Log?: string[] | null;
  };
}

/** One line of `GET /events`. */
export interface EngineEvent {
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
}

/** One line of `POST /images/create`. */
export interface PullProgress {
  status?: string;
  error?: string;
  /** The layer that the line is about. */
  id?: string;
  /** Bytes of it so far; `total` where the registry said it. */
  progressDetail?: { current?: number; total?: number };
}
