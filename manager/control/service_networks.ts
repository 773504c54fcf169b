/** Whether a service can have the networks and the ports that it asks for (SwarmKit `controlapi/service.go`). */
import { deepEqual } from "../../api/deep_equal.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { clusterNetworks } from "../../api/predefined_network.ts";
import {
  type NetworkAttachmentConfig,
  type PortConfig,
  publishesByIngress,
  type Service,
  type ServiceSpec,
} from "../../api/service.ts";
import { DEFAULT_DATA_PATH_PORT } from "../../api/network_assignment.ts";
import { networkMissing } from "../../api/validate/mod.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import { addressAtSite, allowsRelay, ingressNetwork } from "../cluster/networks.ts";
import type { ConsensusStatus } from "../consensus/consensus.ts";
import type { ReadView } from "../store/mod.ts";

/** Nodes that a warning names. */
const MAX_NAMED = 3;

/**
 * Throws `invalid_argument` where a network is not there or not for services, where a port is another service's, and where
 * no node of the cluster could do it; `failed_precondition` without an ingress network. `id` is the service's own, on an
 * update.
 */
export function requireNetworks(view: ReadView, spec: ServiceSpec, id?: string): void {
  const problems: FieldProblem[] = [];
  const beside = deepEqual(spec.Networks, spec.TaskTemplate.Networks) ? undefined : spec.Networks;
  problems.push(
    ...missingNetworks(view, beside, "Networks"),
    ...missingNetworks(view, spec.TaskTemplate.Networks, "TaskTemplate.Networks"),
  );
  problems.push(...portProblems(view, spec, id));
  if (problems.length === 0) problems.push(...abilityProblems(view, spec));
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
  if (!publishesByIngress(spec) || ingressNetwork(view) !== undefined) return;
  throw new CoveyError(
    "failed_precondition",
    "service needs ingress network, but no ingress network is present",
  );
}

function missingNetworks(
  view: ReadView,
  networks: readonly NetworkAttachmentConfig[] = [],
  at: string,
): FieldProblem[] {
  return networks.flatMap(({ Target }, index) => {
    if (!clusterNetworks({ Networks: [{ Target }] }).length) return [];
    const network = view.get("networks", Target), field = `${at}[${index}].Target`;
    if (network === undefined || network.RemovedAt !== undefined) {
      return [{ field, message: networkMissing(Target) }];
    }
    if (!network.Spec.Ingress) return [];
    const message = `Service cannot be explicitly attached to the ingress network "${network.Spec.Name}"`;
    return [{ field, message }];
  });
}

/** Ports in ingress mode are one service's on every node; those in host mode are its node's to give. */
function portProblems(view: ReadView, { EndpointSpec }: ServiceSpec, id: string | undefined): FieldProblem[] {
  const ports = (EndpointSpec?.Ports ?? []).filter(({ PublishedPort }) => PublishedPort !== undefined);
  if (ports.length === 0) return [];
  const problems: FieldProblem[] = [];
  for (const other of view.all("services")) {
    if (other.ID === id) continue;
    const theirs = portsOf(other);
    for (const port of ports) {
      const taken = theirs.find((each) => clash(port, each));
      if (taken === undefined) continue;
      const as = taken.PublishMode === "ingress" ? "an ingress port" : "a host-published port";
      problems.push({
        field: `EndpointSpec.Ports[${EndpointSpec!.Ports!.indexOf(port)}].PublishedPort`,
        message:
          `port '${port.PublishedPort}' is already in use by service '${other.Spec.Name}' (${other.ID}) as ${as}`,
      });
    }
  }
  return problems;
}

/**
 * Throws `invalid_argument` where a service would take a port on every node by which the nodes reach their managers
 * (`members`, each at HOST:PORT) or each other: none would get there any more to hear that it was a mistake.
 */
export function refuseClusterPorts(
  view: ReadView,
  spec: ServiceSpec,
  { members }: Pick<ConsensusStatus, "members">,
): void {
  const carrier = clusterOf(view)?.DataPathPort ?? DEFAULT_DATA_PATH_PORT;
  const problems: FieldProblem[] = [];
  spec.EndpointSpec?.Ports?.forEach(({ PublishMode, PublishedPort, Protocol }, index) => {
    if (PublishMode !== "ingress" || PublishedPort === undefined) return;
    const manager = members.find(({ address }) => address.endsWith(`:${PublishedPort}`));
    const whose = Protocol === "tcp" && manager !== undefined
      ? `is that of the manager at ${manager.address}`
      : Protocol === "udp" && PublishedPort === carrier
      ? "carries the overlay networks between nodes"
      : undefined;
    if (whose === undefined) return;
    const message = `port '${PublishedPort}' ${whose}; published by ingress, no node could use it for that`;
    problems.push({ field: `EndpointSpec.Ports[${index}].PublishedPort`, message });
  });
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
}

/** What of a service does not reach nodes behind address translation, as far as that can be seen now. */
export function relayWarnings(view: ReadView, spec: ServiceSpec): string[] {
  const behind = view.all("nodes").filter((node) => addressAtSite(node) !== undefined)
    .map(({ ID, Description }) => Description?.Hostname || ID);
  if (behind.length === 0) return [];
  const more = behind.length > MAX_NAMED ? ` and ${behind.length - MAX_NAMED} more` : "";
  const who = `behind address translation (${behind.slice(0, MAX_NAMED).join(", ")}${more})`;
  const warnings = clusterNetworks(spec.TaskTemplate).flatMap(({ Target }) => {
    const network = view.get("networks", Target);
    if (network === undefined) return [];
    const { Name } = network.Spec;
    return allowsRelay(network)
      ? [`network ${Name}: TCP alone is relayed to and from nodes ${who}, UDP is not`]
      : [`network ${Name}: nothing gets to and from nodes ${who}: make it with the option covey.relay=on`];
  });
  if (publishesByIngress(spec)) {
    warnings.push(`published ports: tasks on nodes ${who} are reached by those of their own site alone`);
  }
  return warnings;
}

/** What the spec asks for, and the numbers that were chosen where it left them open. */
function portsOf({ Spec, Endpoint }: Service): PortConfig[] {
  return [...(Spec.EndpointSpec?.Ports ?? []), ...(Endpoint?.Ports ?? [])];
}

function clash(one: PortConfig, other: PortConfig): boolean {
  return one.PublishedPort === other.PublishedPort && one.Protocol === other.Protocol &&
    (one.PublishMode === "ingress" || other.PublishMode === "ingress");
}

function abilityProblems(view: ReadView, spec: ServiceSpec): FieldProblem[] {
  const { TaskTemplate, EndpointSpec } = spec;
  const wants = clusterNetworks(TaskTemplate).length > 0
    ? "TaskTemplate.Networks"
    : publishesByIngress(spec)
    ? `EndpointSpec.Ports[${
      EndpointSpec!.Ports!.findIndex((each) => each.PublishMode === "ingress")
    }].PublishMode`
    : undefined;
  const nodes = wants === undefined ? [] : view.all("nodes");
  if (
    wants === undefined ||
    nodes.some((node) => node.Description?.OverlayRuntimes?.includes(TaskTemplate.Runtime))
  ) {
    return [];
  }
  const reason = nodes.find((node) => node.Description?.MissingOverlay)?.Description?.MissingOverlay;
  const what = wants === "TaskTemplate.Networks" ? "overlay networks are" : "the routing mesh (ingress) is";
  const why = `no node of the cluster has them for ${TaskTemplate.Runtime} tasks${
    reason ? ` (${reason})` : ""
  }`;
  const instead = wants === "TaskTemplate.Networks" ? "" : ", use host";
  return [{ field: wants, message: `${what} not available yet: ${why}${instead}` }];
}
