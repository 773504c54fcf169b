/** Normalizes and validates a `ServiceSpec` as it comes from a client. Rules and texts: SwarmKit `controlapi/service.go`. */
import { CoveyError, type FieldProblem } from "../errors.ts";
import {
  type EndpointSpec,
  isJob,
  type PortConfig,
  publishesByIngress,
  RUNTIME_CONTAINER,
  type ServiceMode,
  type ServiceSpec,
  type UpdateConfig,
} from "../service.ts";
import { checkTemplates } from "../task_template.ts";
import { checkName } from "./name.ts";
import { port } from "./port.ts";
import { checkRollout, keepRollout, rolloutShape } from "./rollout.ts";
import { networksShape } from "./network_shape.ts";
import { settleRuntime } from "./runtime.ts";
import {
  anyObject,
  checkSize,
  decimal,
  integer,
  line,
  list,
  nonZero,
  oneOf,
  record,
  type Shaped,
  stringMap,
} from "./shape.ts";
import { keepExtensions } from "./keep_extensions.ts";
import { checkSchedule } from "./schedule.ts";
import { checkStartOrder } from "./start_order.ts";
import { taskShape } from "./task_shape.ts";

const updateShape = record({
  Parallelism: integer(0),
  Delay: nonZero(integer(0, undefined, "TaskSpec: update-delay cannot be negative")),
  FailureAction: oneOf(
    ["pause", "continue", "rollback"],
    (word) => `unrecognized update failure action ${word}`,
  ),
  Monitor: nonZero(integer(0, undefined, "TaskSpec: update-monitor cannot be negative")),
  MaxFailureRatio: ratio,
  Order: oneOf(["stop-first", "start-first"], (word) => `unrecognized update order ${word}`),
  Rollout: rolloutShape,
});

function ratio(value: unknown, path: string, problems: FieldProblem[]): number | undefined {
  const found = decimal(value, path, problems);
  if (found === undefined || (found >= 0 && found <= 1)) return found;
  problems.push({
    field: path,
    message: "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
  });
  return undefined;
}

const endpointShape = record({
  Mode: oneOf(["vip", "dnsrr"], (word) => `invalid resolution mode: "${word}"`),
  Ports: list(port),
});

/** A bound on the tasks of one service, so that a slip of the hand cannot fill the store. */
const MAX_REPLICAS = 1_000_000;

const modeShape = record({
  Replicated: record({
    Replicas: integer(0, MAX_REPLICAS, "Number of replicas must be non-negative and at most 1000000"),
  }),
  Global: anyObject,
  ReplicatedJob: record({
    MaxConcurrent: integer(
      0,
      MAX_REPLICAS,
      "Maximum concurrent jobs must not be negative, and at most 1000000",
    ),
    TotalCompletions: integer(
      0,
      MAX_REPLICAS,
      "Total completed jobs must not be negative, and at most 1000000",
    ),
  }),
  GlobalJob: anyObject,
});

const serviceShape = record({
  Name: line(),
  Labels: stringMap,
  TaskTemplate: taskShape,
  Mode: modeShape,
  UpdateConfig: updateShape,
  RollbackConfig: updateShape,
  Networks: networksShape,
  EndpointSpec: endpointShape,
});

/**
 * Bytes of a spec as JSON. Every task repeats it, in every manager's memory and log; and a service holds up to three (the
 * present, the previous, and the last that went through all stages), which have to fit into one entry of the log (1.5 MiB).
 */
const MAX_SPEC_BYTES = 256 * 1024;

/**
 * The spec to store. `current` is the service's present spec on an update: what a stock client cannot carry is taken from
 * it. `newName` names a service that is given no name. Without `withJobs` what is said of jobs is not there. Throws `invalid_argument` with every problem.
 */
export function parseServiceSpec(
  body: unknown,
  { current, newName, withJobs = true }: {
    current?: ServiceSpec;
    newName?: () => string;
    withJobs?: boolean;
  } = {},
): ServiceSpec {
  const problems: FieldProblem[] = [];
  const checked = serviceShape(body, "", problems) ?? {};
  const Name = checked.Name ?? (problems.some(({ field }) => field === "Name") ? undefined : newName?.());
  checkName(Name, "Name", problems);
  const template = checked.TaskTemplate ?? {};
  // Where docker-py says it, and clients before API 1.25; the task template's own count first.
  if (checked.Networks !== undefined) template.Networks ??= checked.Networks;
  const raw = (body as { TaskTemplate?: unknown } | null)?.TaskTemplate;
  const task = keepExtensions(
    settleRuntime(template, current?.TaskTemplate, problems),
    raw,
    current?.TaskTemplate,
  );
  if (task.RestartPolicy !== undefined) {
    const { Condition = "any", Delay, MaxAttempts = 0, Window } = task.RestartPolicy;
    task.RestartPolicy = {
      Condition,
      ...(Delay !== undefined && { Delay }),
      MaxAttempts,
      ...(Window !== undefined && { Window }),
    };
  }
  const spec: ServiceSpec = {
    Name: Name ?? "",
    Labels: checked.Labels ?? {},
    TaskTemplate: task,
    Mode: settleMode(withJobs ? checked.Mode : withoutJobs(checked.Mode), problems),
  };
  if (isJob(spec)) refuseUpdates(checked, problems);
  if (checked.UpdateConfig !== undefined) {
    const raw = (body as { UpdateConfig?: unknown }).UpdateConfig;
    spec.UpdateConfig = keepRollout(settleUpdate(checked.UpdateConfig), raw, current?.UpdateConfig);
  }
  if (checked.RollbackConfig !== undefined) spec.RollbackConfig = settleUpdate(checked.RollbackConfig);
  if (checked.Networks !== undefined) spec.Networks = checked.Networks;
  if (checked.EndpointSpec !== undefined) spec.EndpointSpec = settleEndpoint(checked.EndpointSpec, problems);
  checkMesh(spec, problems);
  checkRollout(spec, problems);
  checkStartOrder(spec, problems);
  checkSchedule(spec, problems);
  checkSize(spec, "spec", MAX_SPEC_BYTES, problems);
  if (problems.length === 0) checkTemplates(spec, problems);
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
  return spec;
}

function withoutJobs(mode: Shaped<typeof modeShape> = {}): Shaped<typeof modeShape> {
  const { ReplicatedJob: _one, GlobalJob: _other, ...rest } = mode;
  return rest;
}

/** A job asks for one task at a time, and for as many in all as at once, unless it says otherwise (Docker). */
function settleMode(mode: Shaped<typeof modeShape> = {}, problems: FieldProblem[]): ServiceMode {
  if (Object.values(mode).filter((each) => each !== undefined).length > 1) {
    problems.push({ field: "Mode", message: "must specify only one service mode" });
  }
  if (mode.Global !== undefined) return { Global: {} };
  if (mode.GlobalJob !== undefined) return { GlobalJob: {} };
  if (mode.ReplicatedJob !== undefined) {
    const { MaxConcurrent = 1, TotalCompletions = MaxConcurrent } = mode.ReplicatedJob;
    return { ReplicatedJob: { MaxConcurrent, TotalCompletions } };
  }
  return { Replicated: { Replicas: mode.Replicated?.Replicas ?? 1 } };
}

/** Nothing of a job is ever replaced task by task. A `RollbackConfig` is kept and never read, as in Docker. */
function refuseUpdates(checked: Shaped<typeof serviceShape>, problems: FieldProblem[]): void {
  if (checked.UpdateConfig !== undefined) {
    problems.push({ field: "UpdateConfig", message: "Jobs may not have an update config" });
  }
}

function settleUpdate(update: Shaped<typeof updateShape>): UpdateConfig {
  return {
    Parallelism: update.Parallelism ?? 0,
    ...(update.Delay !== undefined && { Delay: update.Delay }),
    FailureAction: update.FailureAction ?? "pause",
    ...(update.Monitor !== undefined && { Monitor: update.Monitor }),
    MaxFailureRatio: update.MaxFailureRatio ?? 0,
    Order: update.Order ?? "stop-first",
    ...(update.Rollout !== undefined && Object.keys(update.Rollout).length > 0 &&
      { Rollout: update.Rollout }),
  };
}

/** What is in its device's own network, or in none, cannot be reached over another. */
function checkMesh(spec: ServiceSpec, problems: FieldProblem[]): void {
  const { Runtime, Networks } = spec.TaskTemplate;
  const own = Networks?.find(({ Target }) => Target === "host" || Target === "none")?.Target ??
    (Runtime !== RUNTIME_CONTAINER && !Networks?.length
      ? "host, where programs are that name none"
      : undefined);
  if (own === undefined || !publishesByIngress(spec)) return;
  const message = `ports published with ingress mode cannot be used with network ${own}`;
  problems.push({ field: "EndpointSpec.Ports", message });
}

function settleEndpoint(endpoint: Shaped<typeof endpointShape>, problems: FieldProblem[]): EndpointSpec {
  const taken = new Set<string>();
  const ports = endpoint.Ports?.map((each, index): PortConfig => {
    const field = `EndpointSpec.Ports[${index}]`;
    const { Name, Protocol = "tcp", TargetPort = 0, PublishedPort, PublishMode = "ingress" } = each;
    if (PublishMode === "ingress" && endpoint.Mode === "dnsrr") {
      const message = "EndpointSpec: port published with ingress mode can't be used with dnsrr mode";
      problems.push({ field: `${field}.PublishMode`, message });
    }
    if (TargetPort === 0) {
      problems.push({ field: `${field}.TargetPort`, message: "a target port must be provided" });
    }
    const key = `${PublishedPort}/${Protocol}`;
    if (PublishedPort !== undefined && taken.has(key)) {
      problems.push({ field, message: "EndpointSpec: duplicate published ports provided" });
    }
    taken.add(key);
    return {
      ...(Name !== undefined && { Name }),
      Protocol,
      TargetPort,
      ...(PublishedPort !== undefined && { PublishedPort }),
      PublishMode,
    };
  });
  return { Mode: endpoint.Mode ?? "vip", ...(ports !== undefined && { Ports: ports }) };
}
