/** From the flags of `service create` and `service update` to a service's spec. Pure. */
import { CoveyError } from "../api/errors.ts";
import {
  type ModeName,
  RUNTIME_CONTAINER,
  RUNTIME_DENO,
  RUNTIME_PROCESS,
  type ServiceMode,
  type ServiceSpec,
  type TaskSpec,
} from "../api/service.ts";
import { applyServiceFlags, parsePort, type ServiceFlags } from "./service_flags.ts";
import { type DenoFlags, denoModule, denoSpec } from "./deno_flags.ts";
import { shellWords } from "./shell_words.ts";
import { parseChoice, parseCount, parseLabels } from "./units.ts";

/** Flags of `service create` besides the shared ones. */
export interface CreateFlags extends ServiceFlags, DenoFlags {
  name?: string;
  mode: string;
  executor: string;
  env: string[];
  label: string[];
  containerLabel: string[];
  constraint: string[];
  placementPref: string[];
  publish: string[];
  network?: string[];
  hostname?: string;
}

/** Flags of `service update` besides the shared ones. */
export interface UpdateFlags extends ServiceFlags {
  image?: string;
  file?: string;
  args?: string;
  envAdd: string[];
  envRm: string[];
  labelAdd: string[];
  labelRm: string[];
  constraintAdd: string[];
  constraintRm: string[];
  force?: boolean;
}

/**
 * The spec of a new service. `words` is what follows the flags: for a container image, command and arguments; for a process
 * the program and its arguments; for a deno task the file, of which `content` is what it holds, and its arguments.
 */
export function specFromFlags(
  words: string[],
  flags: CreateFlags,
  content: Uint8Array = new Uint8Array(),
): ServiceSpec {
  const mode = parseChoice(
    "mode",
    flags.mode,
    ["replicated", "global", "replicated-job", "global-job"] as const,
  );
  const spec: ServiceSpec = {
    Name: flags.name ?? "",
    Labels: parseLabels(flags.label),
    TaskTemplate: taskTemplate(words, flags, content),
    Mode: newMode(mode, parseCount("replicas", flags.replicas ?? "1")),
  };
  if (flags.network?.length) {
    spec.TaskTemplate.Networks = flags.network.map((Target) => ({ Target }));
  }
  if (flags.publish.length > 0) spec.EndpointSpec = { Ports: flags.publish.map(parsePort) };
  return applyServiceFlags(spec, flags);
}

function newMode(mode: ModeName, count: number): ServiceMode {
  switch (mode) {
    case "replicated":
      return { Replicated: { Replicas: count } };
    case "global":
      return { Global: {} };
    case "replicated-job":
      return { ReplicatedJob: { MaxConcurrent: count, TotalCompletions: count } };
    case "global-job":
      return { GlobalJob: {} };
  }
}

function taskTemplate(
  [first, ...rest]: string[],
  flags: CreateFlags,
  content: Uint8Array,
): TaskSpec {
  if (first === undefined) {
    const what = { docker: "an image", deno: "a file" }[flags.executor] ?? "a program";
    throw new CoveyError("invalid_argument", `Cannot create a service: ${what} is missing after the flags`);
  }
  const placement = {
    ...(flags.constraint.length > 0 && { Constraints: flags.constraint }),
    ...(flags.placementPref.length > 0 && { Preferences: flags.placementPref.map(parsePreference) }),
  };
  const common = { ForceUpdate: 0, ...(Object.keys(placement).length > 0 && { Placement: placement }) };
  const env = flags.env.length > 0 ? { Env: flags.env } : {};
  const executor = parseChoice("executor", flags.executor, ["docker", "process", "deno"] as const);
  if (executor === "deno") {
    const spec = denoSpec(first, content, rest, flags);
    return { ...common, Runtime: RUNTIME_DENO, DenoSpec: { ...spec, ...env } };
  }
  const [stray] = Object.keys(flags).filter((flag) => /^allow[A-Z]/.test(flag));
  if (stray !== undefined) {
    const name = stray.replace("allow", "--allow-").toLowerCase();
    throw new CoveyError(
      "invalid_argument",
      `Cannot use ${name} with --executor ${executor}: only deno has permissions`,
    );
  }
  if (executor === "process") {
    return {
      ...common,
      Runtime: RUNTIME_PROCESS,
      ProcessSpec: { Command: first, ...(rest.length > 0 && { Args: rest }), ...env },
    };
  }
  return {
    ...common,
    Runtime: RUNTIME_CONTAINER,
    ContainerSpec: {
      Image: first,
      ...(rest.length > 0 && { Args: rest }),
      ...env,
      ...(flags.containerLabel.length > 0 && { Labels: parseLabels(flags.containerLabel) }),
      ...(flags.hostname !== undefined && { Hostname: flags.hostname }),
    },
  };
}

function parsePreference(text: string) {
  const match = /^spread=(.+)$/.exec(text);
  if (!match) {
    throw new CoveyError(
      "invalid_argument",
      `Cannot read --placement-pref: want spread=node.labels.NAME, current value is "${text}"`,
    );
  }
  return { Spread: { SpreadDescriptor: match[1]! } };
}

/** The spec after `service update`; what is not named stays. `content` is what the file of `--file` holds. */
export function updatedSpec(
  current: ServiceSpec,
  flags: UpdateFlags,
  content: Uint8Array = new Uint8Array(),
): ServiceSpec {
  const next = applyServiceFlags(current, flags);
  const task = next.TaskTemplate;
  next.Labels = without({ ...next.Labels, ...parseLabels(flags.labelAdd) }, flags.labelRm);
  updateConstraints(task, flags);
  updateProgram(task, flags);
  if (flags.file !== undefined) updateFile(task, flags.file, content);
  if (flags.force) task.ForceUpdate = oneMore(task.ForceUpdate);
  return next;
}

/** The client reads what a number would round as a bigint, which it writes as the number it is. */
function oneMore(count: number | string = 0): number {
  const next = BigInt(count) + 1n;
  return (next > Number.MAX_SAFE_INTEGER ? next : Number(next)) as number;
}

function updateProgram(task: TaskSpec, flags: UpdateFlags): void {
  const program = task.ProcessSpec ?? task.DenoSpec ?? task.ContainerSpec;
  if (flags.image !== undefined) {
    if (!task.ContainerSpec || task.Runtime !== RUNTIME_CONTAINER) {
      throw new CoveyError(
        "invalid_argument",
        `Cannot set --image: the service's tasks are of runtime "${task.Runtime}"`,
      );
    }
    task.ContainerSpec.Image = flags.image;
  }
  if (!program) return;
  if (flags.args !== undefined) program.Args = shellWords(flags.args, "--args");
  if (flags.envAdd.length + flags.envRm.length > 0) {
    const nameOf = (pair: string) => pair.split("=", 1)[0]!;
    const gone = new Set([...flags.envRm, ...flags.envAdd.map(nameOf)]);
    program.Env = [...(program.Env ?? []).filter((pair) => !gone.has(nameOf(pair))), ...flags.envAdd];
  }
}

/** Another module with the same arguments and permissions. */
function updateFile(task: TaskSpec, file: string, content: Uint8Array): void {
  if (!task.DenoSpec) {
    throw new CoveyError(
      "invalid_argument",
      `Cannot set --file: the service's tasks are of runtime "${task.Runtime}"`,
    );
  }
  const { Source: _source, Wasm: _wasm, Module: _module, ...rest } = task.DenoSpec;
  task.DenoSpec = { ...denoModule(file, content), ...rest };
}

function updateConstraints(task: TaskSpec, flags: UpdateFlags): void {
  if (flags.constraintAdd.length + flags.constraintRm.length === 0) return;
  const gone = new Set([...flags.constraintRm, ...flags.constraintAdd]);
  const kept = (task.Placement?.Constraints ?? []).filter((constraint) => !gone.has(constraint));
  task.Placement = { ...task.Placement, Constraints: [...kept, ...flags.constraintAdd] };
}

/** `record` without `keys`. */
export function without(record: Record<string, string>, keys: string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)));
}
