/** The shape of `TaskTemplate`: resources, restart policy, placement, log driver. */
import { MAX_DEVICES } from "./device_problems.ts";
import { MAX_ARTIFACTS, MAX_MODE } from "./artifact_problems.ts";
import { parseConstraint } from "../constraint.ts";
import { containerShape } from "./container_shape.ts";
import { MAX_SOURCE_LENGTH } from "./deno_problems.ts";
import { genericResource } from "./generic_resource.ts";
import { configReferences, secretReferences } from "./reference_shape.ts";
import { CONDITIONS, MAX_DEPENDS_ON, type ServiceDependency } from "../start_order.ts";
import { scheduleShape } from "./schedule.ts";
import { networksShape } from "./network_shape.ts";
import {
  anyValue,
  exactCount,
  integer,
  line,
  list,
  nonZero,
  oneOf,
  onlyTrue,
  record,
  type Shape,
  stringMap,
  strings,
  textUpTo,
  unsupported,
} from "./shape.ts";

/** Billionths of a core that a task must ask for at least, if it asks (SwarmKit: 0.001). */
const MIN_NANO_CPUS = 1_000_000;
/** Bytes that a task must ask for at least, if it asks (SwarmKit: 4 MiB). */
const MIN_MEMORY_BYTES = 4 * 1024 * 1024;

const nanoCPUs: Shape<number> = (value, path, problems) => {
  const amount = nonZero(integer(Number.MIN_SAFE_INTEGER))(value, path, problems);
  if (amount === undefined || amount >= MIN_NANO_CPUS) return amount;
  problems.push({ field: path, message: `invalid cpu value ${amount / 1e9}: Must be at least 0.001` });
  return undefined;
};

const memoryBytes: Shape<number> = (value, path, problems) => {
  const amount = nonZero(integer(Number.MIN_SAFE_INTEGER))(value, path, problems);
  if (amount === undefined || amount >= MIN_MEMORY_BYTES) return amount;
  problems.push({ field: path, message: `invalid memory value ${amount}: Must be at least 4MiB` });
  return undefined;
};

const resources = record({
  Limits: record({ NanoCPUs: nanoCPUs, MemoryBytes: memoryBytes, Pids: nonZero(integer(0)) }),
  Reservations: record({
    NanoCPUs: nanoCPUs,
    MemoryBytes: memoryBytes,
    GenericResources: list(genericResource(1)),
  }),
  SwapBytes: unsupported("swap limits are not supported"),
  MemorySwappiness: unsupported("memory swappiness is not supported"),
});

const restartPolicy = record({
  Condition: oneOf(["none", "on-failure", "any"], (word) => `invalid RestartCondition: "${word}"`),
  Delay: integer(0, undefined, "TaskSpec: restart-delay cannot be negative"),
  MaxAttempts: integer(0),
  Window: integer(0, undefined, "TaskSpec: restart-window cannot be negative"),
});

const constraints: Shape<string[]> = (value, path, problems) => {
  const found = strings(value, path, problems);
  found?.forEach((each, index) => {
    const parsed = parseConstraint(each);
    if (typeof parsed === "string") problems.push({ field: `${path}[${index}]`, message: parsed });
  });
  return found;
};

const preferenceShape = record({ Spread: record({ SpreadDescriptor: line() }) });

/** A preference of no kind says nothing, and is left out as Docker does. */
const preference: Shape<{ Spread: { SpreadDescriptor: string } }> = (value, path, problems) => {
  const spread = value === null ? undefined : preferenceShape(value, path, problems)?.Spread;
  return spread && { Spread: { SpreadDescriptor: spread.SpreadDescriptor ?? "" } };
};

const placement = record({
  Constraints: constraints,
  Preferences: list(preference),
  MaxReplicas: nonZero(integer(0)),
  Platforms: list(record({ Architecture: line(), OS: line() })),
});

/** Characters of a runtime's name: as many as a node's description takes. */
const MAX_RUNTIME_LENGTH = 255;

/** What only a container has: whoever asks a program for it shall hear so, not find it missing. */
const containersOnly = Object.fromEntries(
  [
    "Image",
    "Labels",
    "Hostname",
    "Groups",
    "Privileges",
    "Init",
    "TTY",
    "OpenStdin",
    "ReadOnly",
    "Mounts",
    "Healthcheck",
    "Hosts",
    "DNSConfig",
    "Isolation",
    "Sysctls",
    "CapabilityAdd",
    "CapabilityDrop",
    "Ulimits",
    "OomScoreAdj",
  ].map((field) => [field, unsupported("only containers have it, a program has what its device has")]),
);

const artifacts = list(
  record({
    Name: line(),
    Platform: record({ OS: line(), Architecture: line() }),
    URL: line(),
    SHA256: line(),
    Mode: integer(0, MAX_MODE),
  }),
  MAX_ARTIFACTS,
);

const processShape = record({
  ...containersOnly,
  Command: line(),
  Artifacts: artifacts,
  ReadOnly: onlyTrue,
  PrivateTmp: onlyTrue,
  Devices: list(line(), MAX_DEVICES),
  Args: strings,
  Env: strings,
  Dir: line(),
  User: line(),
  StopSignal: line(),
  StopGracePeriod: integer(0),
  Secrets: secretReferences,
  Configs: configReferences,
});

/** Names of a permission, or all of it: `false` and an empty list are none. */
const granted: Shape<string[] | true> = (value, path, problems) =>
  typeof value === "boolean" ? value || undefined : list(line())(value, path, problems);

const denoShape = record({
  ...containersOnly,
  Source: textUpTo(MAX_SOURCE_LENGTH),
  Wasm: textUpTo(MAX_SOURCE_LENGTH),
  Module: line(),
  Artifacts: artifacts,
  Args: strings,
  Env: strings,
  Dir: line(),
  User: line(),
  Permissions: record({
    Net: granted,
    Read: granted,
    Write: granted,
    Env: granted,
    Run: granted,
    Sys: granted,
    FFI: granted,
  }),
  StopSignal: line(),
  StopGracePeriod: integer(0),
  Secrets: unsupported("secrets are not available to deno tasks, whose sandbox leads to no such folder"),
  Configs: unsupported("configs are not available to deno tasks, whose sandbox leads to no such folder"),
});

const dependencyFields = record({ Service: line(), Condition: oneOf(CONDITIONS) }, ["Service"]);
const dependency: Shape<ServiceDependency> = (value, path, problems) => {
  const { Service, Condition = CONDITIONS[0] } = dependencyFields(value, path, problems) ?? {};
  return Service === undefined ? undefined : { Service, Condition };
};

/** The shape of a task template before its runtime is looked at. */
export const taskShape = record({
  ContainerSpec: containerShape,
  PluginSpec: unsupported("plugin services are not supported"),
  NetworkAttachmentSpec: unsupported("network attachments are not supported"),
  ProcessSpec: processShape,
  DenoSpec: denoShape,
  GenericSpec: record({ Payload: anyValue }),
  Resources: resources,
  RestartPolicy: restartPolicy,
  Placement: placement,
  Networks: networksShape,
  LogDriver: record({ Name: line(), Options: stringMap }),
  DependsOn: list(dependency, MAX_DEPENDS_ON),
  Schedule: scheduleShape,
  ForceUpdate: exactCount,
  Runtime: line(MAX_RUNTIME_LENGTH),
});
