/** What a service is to be given: the numbers of its ports, and an address in each of its networks. Pure. */
import { deepEqual } from "../../api/deep_equal.ts";
import type { VirtualIP } from "../../api/network.ts";
import { clusterNetworks } from "../../api/predefined_network.ts";
import { type Endpoint, type PortConfig, publishesByIngress, type Service } from "../../api/service.ts";
import type { AddressBook } from "./address_book.ts";
import { MAX_CHOSEN_PORT, MIN_CHOSEN_PORT, type PortBook } from "./port_book.ts";

/** The books' name of a service. */
export function serviceHolder(id: string): string {
  return `service/${id}`;
}

/** The networks in which a service has an address of its own: the ingress network first, as Docker shows it. */
function addressedNetworks({ Spec }: Service, ingress: string | undefined): string[] {
  if (Spec.EndpointSpec?.Mode === "dnsrr") return [];
  const own = clusterNetworks(Spec.TaskTemplate).map(({ Target }) => Target);
  return publishesByIngress(Spec) && ingress !== undefined ? [ingress, ...own] : own;
}

/** True for a service that is to be given anything: the others' endpoint is what their spec says. */
function needsEndpoint({ Spec }: Service): boolean {
  return publishesByIngress(Spec) || clusterNetworks(Spec.TaskTemplate).length > 0;
}

/** True if a service has what its spec asks for, and no more. */
export function isSettled(service: Service, ingress: string | undefined): boolean {
  const { Spec, Endpoint } = service;
  if (!needsEndpoint(service) || Endpoint === undefined) {
    return !needsEndpoint(service) && Endpoint === undefined;
  }
  const addresses = Endpoint.VirtualIPs?.map(({ NetworkID }) => NetworkID) ?? [];
  return deepEqual(Endpoint.Spec, Spec.EndpointSpec ?? { Mode: "vip" }) &&
    deepEqual(addresses, addressedNetworks(service, ingress));
}

/**
 * The endpoint of `service`, of which everything is reserved in the books; undefined if it needs none. A string says why it
 * has to wait: then nothing was reserved anew that another could use. A port that the spec leaves open keeps the number that
 * it had.
 */
export function planEndpoint(
  service: Service,
  books: { addresses: AddressBook; ports: PortBook },
  networks: { ingress: string | undefined; nameOf: (id: string) => string; kept: (id: string) => number },
): Endpoint | string | undefined {
  if (!needsEndpoint(service)) return undefined;
  const { ID, Spec: { EndpointSpec = { Mode: "vip" } }, Endpoint: present } = service;
  const before = present?.Ports ?? [];
  const ports = planPorts(ID, EndpointSpec.Ports ?? [], before, books.ports);
  if (typeof ports === "string") {
    books.ports.keep(ID, before);
    return ports;
  }
  const holder = serviceHolder(ID), had = books.addresses.networksOf(holder);
  const VirtualIPs: VirtualIP[] = [];
  for (const NetworkID of addressedNetworks(service, networks.ingress)) {
    const Addr = books.addresses.take(NetworkID, holder, networks.kept(NetworkID));
    if (Addr === undefined) {
      books.ports.keep(ID, before);
      for (const { NetworkID } of VirtualIPs) {
        if (!had.includes(NetworkID)) books.addresses.release(NetworkID, holder);
      }
      return noAddress(networks.nameOf(NetworkID), NetworkID, books.addresses);
    }
    VirtualIPs.push({ NetworkID, Addr });
  }
  return {
    Spec: EndpointSpec,
    ...(ports.length > 0 && { Ports: ports }),
    ...(VirtualIPs.length > 0 && { VirtualIPs }),
  };
}

/** Why nobody can be given an address of `network`, which users call `name`. */
export function noAddress(name: string, network: string, addresses: AddressBook): string {
  return addresses.has(network) ? `network ${name} has no address left` : `network ${name} not found`;
}

function planPorts(
  service: string,
  asked: readonly PortConfig[],
  before: readonly PortConfig[],
  ports: PortBook,
): PortConfig[] | string {
  const [taken] = ports.claim(service, asked);
  if (taken !== undefined) {
    return `port ${taken.PublishedPort}/${taken.Protocol} is in use by another service as an ingress port`;
  }
  const left = before.filter((each) => each.PublishMode === "ingress");
  const planned: PortConfig[] = [];
  for (const port of asked) {
    const chosen = port.PublishMode === "host"
      ? port
      : port.PublishedPort === undefined
      ? choosePort(service, port, left, asked, ports)
      : port;
    if (chosen === undefined) {
      return `no ${port.Protocol} port of ${MIN_CHOSEN_PORT} to ${MAX_CHOSEN_PORT} is left`;
    }
    planned.push(chosen);
  }
  return planned;
}

function choosePort(
  service: string,
  port: PortConfig,
  left: PortConfig[],
  asked: readonly PortConfig[],
  ports: PortBook,
): PortConfig | undefined {
  const isSame = (each: PortConfig) =>
    each.Protocol === port.Protocol && each.TargetPort === port.TargetPort && each.Name === port.Name &&
    !asked.some((other) => other.Protocol === each.Protocol && other.PublishedPort === each.PublishedPort);
  const at = left.findIndex(isSame);
  const number = at >= 0 ? left.splice(at, 1)[0]!.PublishedPort : ports.choose(service, port.Protocol);
  // In the place where Docker shows it.
  const { PublishMode, ...rest } = port;
  return number === undefined ? undefined : { ...rest, PublishedPort: number, PublishMode };
}
