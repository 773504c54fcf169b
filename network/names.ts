/**
 * Who is found by which name, as seen from one container: only what is in its networks.
 *
 *     web             the service's address, or those of all tasks where it has none (endpoint mode dnsrr)
 *     tasks.web       those of all tasks that serve
 *     web.backend     the same, of the network named
 *     web.1.TASKID    a task
 *     an alias        as the service whose tasks ask for it
 *
 * Pure.
 */
import { contains, parseBlock, parseIPv4 } from "../api/ipv4.ts";
import type { AssignedNetwork, AssignedService } from "../api/network_assignment.ts";
import type { TasksHere } from "./askers.ts";
import type { NodeNetworks } from "./node_networks.ts";

/** What there is for a name; undefined: nothing of ours. */
export type Found = { addresses: string[] } | { names: string[] } | undefined;

/** The networks that the container at `address` is in; none for one that is not known. */
export function networksOf(told: NodeNetworks, tasks: TasksHere, address: string): AssignedNetwork[] {
  for (const { NetworkAttachments = [] } of tasks()) {
    if (!NetworkAttachments.some(({ Addresses }) => Addresses[0]?.split("/", 1)[0] === address)) continue;
    return NetworkAttachments.flatMap(({ NetworkID }) => told.networks.get(NetworkID) ?? [])
      .filter(({ Ingress }) => !Ingress);
  }
  const number = parseIPv4(address);
  if (number === undefined) return [];
  return [...told.networks.values()].filter(({ Subnets, Ingress }) =>
    !Ingress && Subnets.some(({ Subnet }) => contains(parseBlock(Subnet)!, number))
  );
}

/** The addresses of `name` in `networks`, those of the first network that knows it. */
export function findName(told: NodeNetworks, networks: readonly AssignedNetwork[], name: string): Found {
  for (const network of networks) {
    const suffix = `.${network.Name.toLowerCase()}`;
    const short = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
    const addresses = addressesIn(told.services(network.ID), short) ??
      addressesIn(told.services(network.ID), name);
    if (addresses !== undefined) return { addresses };
  }
  return undefined;
}

/** The names of who has `address` in `networks`. */
export function findAddress(
  told: NodeNetworks,
  networks: readonly AssignedNetwork[],
  address: string,
): Found {
  for (const network of networks) {
    for (const { Name, VirtualIP, Backends } of told.services(network.ID)) {
      if (VirtualIP === address) return { names: [`${Name}.${network.Name}`] };
      const task = Backends.find(({ Address }) => Address === address);
      if (task !== undefined) return { names: [`${task.Name}.${network.Name}`] };
    }
  }
  return undefined;
}

function addressesIn(services: readonly AssignedService[], name: string): string[] | undefined {
  const all = name.startsWith("tasks.");
  const called = all ? name.slice("tasks.".length) : name;
  const addresses: string[] = [];
  let isKnown = false;
  for (const { Name, Aliases, VirtualIP, Backends } of services) {
    if (Name.toLowerCase() === called || Aliases.some((alias) => alias.toLowerCase() === called)) {
      isKnown = true;
      addresses.push(
        ...VirtualIP !== undefined && !all ? [VirtualIP] : Backends.map(({ Address }) => Address),
      );
    }
    const task = Backends.find((each) => each.Name.toLowerCase() === name);
    if (task !== undefined) return [task.Address];
  }
  return isKnown ? addresses : undefined;
}
