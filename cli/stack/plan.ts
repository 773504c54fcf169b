/** What deploying a stack would change: the difference between what a file asks for and what is there. Pure. */
import { deepEqual } from "../../api/deep_equal.ts";
import type { ConfigReference, DependencyKind, SecretReference } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import type { ServiceSpec } from "../../api/service.ts";
import type { ServiceView } from "../api_types.ts";
import { predefinedNetwork } from "../../api/predefined_network.ts";
import { IMAGE_LABEL, type NamedReference, type NetworkSpec, type Stack } from "../compose/stack.ts";
import { type Difference, differences, normalized } from "./difference.ts";

/** A secret or config as the cluster has it; of a secret without its bytes. */
export interface PayloadView {
  ID: string;
  Version: { Index: number };
  Spec: { Name: string; Labels?: Record<string, string>; Data?: string };
}

/** A network as the cluster has it. */
export interface NetworkView {
  Id: string;
  Name: string;
  Driver?: string;
  Scope?: string;
  Labels?: Record<string, string> | null;
}

/** What the cluster has: of the stack, and by name all that it may name. */
export interface Present {
  services: ServiceView[];
  secrets: PayloadView[];
  configs: PayloadView[];
  networks: NetworkView[];
}

/** A secret or config with its bytes (base64), where the file names them. */
export interface PayloadBody {
  Name: string;
  Labels: Record<string, string>;
  Data?: string;
  Driver?: unknown;
  Templating?: unknown;
}

/** A stack whose files have been read. */
export interface ReadyStack {
  stack: Stack;
  secrets: PayloadBody[];
  configs: PayloadBody[];
}

/** One object, and what becomes of it. */
export type Change =
  & { name: string; differences: Difference[] }
  & (
    | {
      kind: DependencyKind;
      action: "create" | "update";
      body: PayloadBody;
      current?: PayloadView | undefined;
    }
    | { kind: "network"; action: "create"; body: NetworkSpec }
    | {
      kind: "service";
      action: "create" | "update" | "keep";
      service: Stack["services"][number];
      current?: ServiceView | undefined;
      /** Its tasks are replaced. */
      restarts: boolean;
    }
    | { kind: "service"; action: "remove"; current: ServiceView }
  );

/** What stands between `present` and `wanted`, in the order in which it is done. With `prune`, services that the file has no more go. */
export function planStack(wanted: ReadyStack, present: Present, prune: boolean): Change[] {
  const { stack } = wanted;
  requireExternal(stack, present);
  return [
    ...wanted.secrets.flatMap((body) => payloadChange("secret", body, present.secrets)),
    ...wanted.configs.flatMap((body) => payloadChange("config", body, present.configs)),
    ...stack.networks.filter(({ Name }) => !present.networks.some((each) => each.Name === Name))
      .map((body): Change => ({ kind: "network", action: "create", name: body.Name, body, differences: [] })),
    ...stack.services.map((service) => serviceChange(service, present)),
    ...(prune ? removed(stack, present) : []),
  ];
}

/** True if something would be done. */
export function changesAnything(changes: readonly Change[]): boolean {
  return changes.some(({ action }) => action !== "keep");
}

function requireExternal({ external }: Stack, { networks, secrets, configs }: Present): void {
  const missing = [
    ...external.networks.filter((name) => !networks.some((each) => each.Name === name)).map((name) =>
      `network ${name}`
    ),
    ...external.secrets.filter((name) => !named(secrets, name)).map((name) => `secret ${name}`),
    ...external.configs.filter((name) => !named(configs, name)).map((name) => `config ${name}`),
  ];
  if (missing.length === 0) return;
  throw new CoveyError("not_found", `Cannot deploy: ${missing.join(", ")} is external, and does not exist`);
}

function named(payloads: readonly PayloadView[], name: string): PayloadView | undefined {
  return payloads.find(({ Spec }) => Spec.Name === name);
}

function payloadChange(kind: DependencyKind, body: PayloadBody, present: readonly PayloadView[]): Change[] {
  const current = named(present, body.Name);
  if (current === undefined) return [{ kind, action: "create", name: body.Name, body, differences: [] }];
  const { Data } = current.Spec;
  // What a secret holds is not shown, so that only a config's can be compared.
  if (kind === "config" && body.Data !== undefined && Data !== body.Data) {
    const hint = "its content never changes: give the new one another name";
    throw new CoveyError(
      "failed_precondition",
      `Cannot deploy: config ${body.Name} exists with other content; ${hint}`,
    );
  }
  const found = differences(current.Spec.Labels ?? {}, body.Labels, "Labels");
  return found.length === 0
    ? []
    : [{ kind, action: "update", name: body.Name, body, current, differences: found }];
}

function serviceChange(service: Stack["services"][number], present: Present): Change {
  const { spec } = service, name = spec.Name;
  const current = present.services.find((each) => each.Spec.Name === name);
  if (current === undefined) {
    return { kind: "service", action: "create", name, service, restarts: true, differences: [] };
  }
  const before = normalized(withNames(current.Spec, present)),
    after = normalized(wantedSpec(service, current));
  const found = differences(before, after);
  const action = found.length === 0 ? "keep" : "update";
  return {
    kind: "service",
    action,
    name,
    service,
    current,
    restarts: restarts(before, after),
    differences: found,
  };
}

/** The spec that goes to the server, references by name: what the server fills in itself is as it is. */
function wantedSpec(
  { spec, secrets, configs }: Stack["services"][number],
  current: ServiceView,
): ServiceSpec {
  const next = withReferences(spec, secrets.map(shown("Secret")), configs.map(shown("Config")));
  const { TaskTemplate } = next;
  TaskTemplate.ForceUpdate = current.Spec.TaskTemplate.ForceUpdate ?? 0;
  keepPinnedImage(next, current);
  return next;
}

/** An image that the file names as before stays what it was pinned to (docker: `--resolve-image changed`). */
export function keepPinnedImage(next: ServiceSpec, { Spec }: Pick<ServiceView, "Spec">): void {
  const pinned = Spec.TaskTemplate.ContainerSpec?.Image, { ContainerSpec } = next.TaskTemplate;
  const isSame = next.Labels?.[IMAGE_LABEL] === Spec.Labels?.[IMAGE_LABEL];
  if (isSame && pinned !== undefined && ContainerSpec) ContainerSpec.Image = pinned;
}

/** `spec` with its references; a container's and a process's stand in the same place. */
export function withReferences(
  spec: ServiceSpec,
  secrets: object[],
  configs: object[],
): ServiceSpec {
  const next = structuredClone(spec), { ContainerSpec, ProcessSpec } = next.TaskTemplate;
  const program = ProcessSpec ?? ContainerSpec;
  if (program && secrets.length > 0) program.Secrets = secrets as SecretReference[];
  if (program && configs.length > 0) program.Configs = configs as ConfigReference[];
  return next;
}

function shown(kind: "Secret" | "Config") {
  return ({ name, File }: NamedReference) => ({ File, [`${kind}Name`]: name });
}

/** A spec of the server with names in place of IDs. */
function withNames(spec: ServiceSpec, { networks }: Present): ServiceSpec {
  const next = structuredClone(spec), { Networks, ContainerSpec, ProcessSpec } = next.TaskTemplate;
  for (const network of Networks ?? []) {
    const { Target } = network;
    network.Target = networks.find(({ Id }) => Id === Target)?.Name ?? predefinedNetwork(Target)?.Name ??
      Target;
  }
  // What is no container is shown with one, for clients that know nothing else.
  if (ProcessSpec) delete next.TaskTemplate.ContainerSpec;
  Networks?.sort((a, b) => a.Target < b.Target ? -1 : 1);
  for (const program of [ProcessSpec ?? ContainerSpec]) {
    for (const each of program?.Secrets ?? []) delete (each as Partial<SecretReference>).SecretID;
    for (const each of program?.Configs ?? []) delete (each as Partial<ConfigReference>).ConfigID;
  }
  return next;
}

/** Whether tasks are replaced: a change of where they may run alone does not, one of what they are or publish does. */
function restarts(before: ServiceSpec, after: ServiceSpec): boolean {
  const part = ({ TaskTemplate, EndpointSpec }: ServiceSpec) => {
    const { Placement: _, ...task } = TaskTemplate;
    return { task, ports: EndpointSpec?.Ports?.filter(({ PublishMode }) => PublishMode === "host") ?? [] };
  };
  return !deepEqual(part(before), part(after));
}

function removed({ services }: Stack, present: Present): Change[] {
  const kept = new Set(services.map(({ spec }) => spec.Name));
  return present.services.filter(({ Spec }) => !kept.has(Spec.Name))
    .map((current): Change => ({
      kind: "service",
      action: "remove",
      name: current.Spec.Name,
      current,
      differences: [],
    }));
}
