/** How a task template is shown: Docker's fields in Docker's order, a container for every runtime. */
import { predefinedNetwork } from "../../../api/predefined_network.ts";
import { SECOND_NS } from "../../../api/duration.ts";
import type { ContainerSpec } from "../../../api/container_spec.ts";
import { writtenNumber } from "../../../api/exact_json.ts";
import { type NetworkAttachmentConfig, RUNTIME_CONTAINER, type TaskSpec } from "../../../api/service.ts";
import { shownContainer } from "../../../api/validate/mod.ts";

const CONTAINER_ORDER = [
  "Image",
  "Labels",
  "Command",
  "Args",
  "Hostname",
  "Env",
  "Dir",
  "User",
  "Groups",
  "Privileges",
  "Init",
  "StopSignal",
  "TTY",
  "OpenStdin",
  "ReadOnly",
  "Mounts",
  "StopGracePeriod",
  "Healthcheck",
  "Hosts",
  "DNSConfig",
  "Secrets",
  "Configs",
  "Isolation",
  "Sysctls",
  "CapabilityAdd",
  "CapabilityDrop",
  "Ulimits",
  "OomScoreAdj",
];

/** `object` with the fields of `order` first, in that order, and without undefined ones. Lists make thousands of these. */
export function inOrder(object: object, order: readonly string[]): Record<string, unknown> {
  const fields = object as Record<string, unknown>;
  const out: Record<string, unknown> = {};
  for (const key of order) if (fields[key] !== undefined) out[key] = fields[key];
  // A field that is there already keeps its place.
  for (const key of Object.keys(fields)) if (fields[key] !== undefined) out[key] = fields[key];
  return out;
}

/** Values of a container that Docker fills in when asked for defaults. Nanoseconds. */
const CONTAINER_DEFAULTS = { StopGracePeriod: 10 * SECOND_NS, DNSConfig: {} };

/** What Docker shows of an SELinux context, whatever was given. */
const SELINUX_CONTEXT = { Disable: false, User: "", Role: "", Type: "", Level: "" };

function privilegesView(privileges: Record<string, unknown>): Record<string, unknown> {
  const { SELinuxContext: context, ...rest } = privileges;
  return {
    CredentialSpec: null,
    SELinuxContext: context === undefined ? null : { ...SELINUX_CONTEXT, ...context as object },
    ...rest,
  };
}

function containerView(
  { PullOptions: _secret, ...container }: ContainerSpec,
  defaults: boolean,
): Record<string, unknown> {
  const filled = {
    ...(defaults && CONTAINER_DEFAULTS),
    ...container,
    Privileges: container.Privileges && privilegesView(container.Privileges),
    Isolation: "default",
  };
  return inOrder(filled, CONTAINER_ORDER);
}

/** A task template as services show it; tasks leave `Runtime` out for containers, as Docker does. */
export function taskSpecView(task: TaskSpec, defaults = false, ofTask = false): Record<string, unknown> {
  const { ContainerSpec, ProcessSpec, DenoSpec, GenericSpec, RestartPolicy, ForceUpdate, Runtime, ...rest } =
    task;
  const container = Runtime === RUNTIME_CONTAINER && ContainerSpec !== undefined
    ? ContainerSpec
    : shownContainer(task);
  const restart = defaults
    ? { Condition: "any", Delay: 5 * SECOND_NS, MaxAttempts: 0, ...RestartPolicy }
    : RestartPolicy;
  return {
    ContainerSpec: containerView(container, defaults),
    ProcessSpec,
    DenoSpec,
    GenericSpec,
    Resources: rest.Resources ?? (defaults ? {} : undefined),
    RestartPolicy: restart,
    Placement: rest.Placement ?? (defaults ? {} : undefined),
    Networks: networksView(rest.Networks),
    LogDriver: rest.LogDriver,
    ForceUpdate: typeof ForceUpdate === "string" ? writtenNumber(ForceUpdate) : ForceUpdate,
    Runtime: ofTask && Runtime === RUNTIME_CONTAINER ? undefined : Runtime,
  };
}

/** Networks as a spec names them. */
export function networksView(networks: readonly NetworkAttachmentConfig[] | undefined) {
  return networks?.map((each) => ({ ...each, Target: predefinedNetwork(each.Target)?.ID ?? each.Target }));
}
