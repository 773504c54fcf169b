/** What `covey agent upgrade` asks of a cluster: a service whose task on each device brings in another version there. Pure. */
import type { Artifact } from "../api/artifact.ts";
import { CoveyError } from "../api/errors.ts";
import { type ProcessSpec, RUNTIME_PROCESS, type ServiceSpec, type TaskSpec } from "../api/service.ts";
import type { NodeView, TaskView } from "./api_types.ts";
import { sortedByName } from "./output.ts";

/** The one service of this kind: a device cannot become two versions. */
export const UPGRADE_SERVICE = "covey-agent";
/** A link to the version that runs, so that a device is upgraded by what it has. */
const PROGRAM = "/opt/covey/current/upgrade.sh";
/** In the task's folder. */
const BUNDLE = "bundle.tar.gz";
/** Longer than a device takes to unpack a version and to start it. */
const START_SECONDS = 60;
const NANOSECONDS = 1e9;

const ARCHITECTURES: Record<string, string> = { x86_64: "amd64", aarch64: "arm64" };

/** A bundle as `deno task bundle` makes it. */
export interface Bundle {
  url: string;
  sha256: string;
  version: string;
  /** As artifacts name it. */
  architecture: string;
}

/** How the devices are reached. */
export interface UpgradeOptions {
  /** Seconds in which a device has to reach a manager with the new version, or goes back. */
  deadline: number;
  parallelism: number;
  stages: string;
  failureThreshold?: string | undefined;
  budgets?: string | undefined;
  promotion?: string | undefined;
  constraints: readonly string[];
}

/** What a bundle's name says of it: `…/covey-VERSION-ARCH.tar.gz`, with `#sha256=…` where its sum is known. */
export function parseBundle(text: string): Omit<Bundle, "sha256"> & { sha256: string | undefined } {
  const [, url, version, arch, sha256] =
    /^(https?:\/\/[^#]+\/covey-([^/#]+)-(x86_64|aarch64)\.tar\.gz)(?:#sha256=([0-9a-f]{64}))?$/.exec(text) ??
      [];
  if (url === undefined) {
    const wanted = "http(s)://…/covey-VERSION-x86_64.tar.gz or -aarch64.tar.gz, with #sha256=… or without";
    throw new CoveyError(
      "invalid_argument",
      `Cannot read --bundle: want ${wanted}, current value is "${text}"`,
    );
  }
  return { url, version: version!, architecture: ARCHITECTURES[arch!]!, sha256 };
}

/** The service before anybody has asked for a version, so that the first one goes through the stages, too. */
export function waitingSpec(options: UpgradeOptions): ServiceSpec {
  return specOf({ Command: PROGRAM, User: "0:0" }, {}, options);
}

/** `attempt` tells this time of asking from every other, as a device tries each only once. */
export function upgradeSpec(
  bundles: readonly Bundle[],
  options: UpgradeOptions,
  attempt: string,
): ServiceSpec {
  const [first] = bundles, version = first!.version;
  const other = bundles.find((bundle) => bundle.version !== version);
  if (other !== undefined) {
    const found = `${version} and ${other.version}`;
    throw new CoveyError(
      "invalid_argument",
      `Cannot upgrade: all bundles have to be of one version, found ${found}`,
    );
  }
  const program: ProcessSpec = {
    Command: PROGRAM,
    Args: [version, String(options.deadline), attempt, BUNDLE],
    User: "0:0",
    Artifacts: bundles.map(({ url, sha256, architecture }): Artifact => ({
      Name: BUNDLE,
      Platform: { Architecture: architecture },
      URL: url,
      SHA256: sha256,
      Mode: 0o400,
    })),
  };
  return specOf(program, { "covey.agent.version": version }, options);
}

/** The version that the service asks for, or one task of it. */
export function wantedVersion({ ProcessSpec }: Pick<TaskSpec, "ProcessSpec">): string {
  return ProcessSpec?.Args?.[0] ?? "";
}

function specOf(
  ProcessSpec: ProcessSpec,
  labels: Record<string, string>,
  { deadline, parallelism, stages, failureThreshold, budgets, promotion, constraints }: UpgradeOptions,
): ServiceSpec {
  const settings = { stages, "failure-threshold": failureThreshold, budgets, promotion };
  const given = Object.entries(settings).filter(([, value]) => value !== undefined)
    .map(([name, value]) => [`covey.rollout.${name}`, value!]);
  return {
    Name: UPGRADE_SERVICE,
    Labels: { ...labels, ...Object.fromEntries(given) },
    TaskTemplate: {
      Runtime: RUNTIME_PROCESS,
      ProcessSpec,
      // A device that loses its power in the middle goes on; what was taken back is not tried again by itself.
      RestartPolicy: { Condition: "on-failure", MaxAttempts: 1 },
      Placement: { Constraints: ["node.role==worker", "node.fact.agent exists", ...constraints] },
      ForceUpdate: 0,
    },
    Mode: { Global: {} },
    UpdateConfig: {
      Parallelism: parallelism,
      FailureAction: "pause",
      // Who goes back has to reach a manager with the old version, and say so.
      Monitor: (2 * deadline + START_SECONDS) * NANOSECONDS,
    },
  };
}

/** The codes of `install/upgrade.sh`. */
const ENDS: readonly [RegExp, string][] = [
  [/exit \(3\)/, "reached no manager, and went back"],
  [/exit \(4\)/, "could not be made ready: see the task's log"],
];

/** Where one device stands. */
export interface DeviceRow {
  Node: string;
  Version: string;
  Wanted: string;
  State: string;
  /** Why the device does not have the version, in words; empty if nothing is wrong. */
  Error: string;
}

/** Those that can be upgraded: of a program that was installed. */
export function deviceRows(nodes: readonly NodeView[], tasks: readonly TaskView[]): DeviceRow[] {
  const newestFirst = tasks.toSorted((a, b) => b.CreatedAt.localeCompare(a.CreatedAt));
  const rows = nodes.flatMap(({ ID, Description, Status }) => {
    const [Version] = Description?.Facts?.["agent"] ?? [];
    if (Version === undefined) return [];
    const own = newestFirst.filter(({ NodeID }) => NodeID === ID), [task] = own;
    return {
      Node: Description!.Hostname ?? ID,
      Version,
      Wanted: task ? wantedVersion(task.Spec) : "",
      State: Status.State === "ready" ? task?.Status.State ?? "" : Status.State,
      Error: whyNot(own),
    };
  });
  return sortedByName(rows, ({ Node }) => Node);
}

/** While a failed task waits for its next try, the reason is that of the one before, for as long as the same is asked for. */
function whyNot([task, ...earlier]: readonly TaskView[]): string {
  if (task === undefined) return "";
  const isTold = task.Status.Err || task.Status.State === "running";
  const error = isTold
    ? task.Status.Err
    : earlier.find(({ Status, Spec }) => Status.Err && attemptOf(Spec) === attemptOf(task.Spec))?.Status.Err;
  return ENDS.find(([pattern]) => pattern.test(error ?? ""))?.[1] ?? error ?? "";
}

function attemptOf({ ProcessSpec }: TaskView["Spec"]): string {
  return JSON.stringify(ProcessSpec?.Args ?? []);
}
