/**
 * Who is found by which name, as seen from one container: only what is in its networks.
 *
 *     web             the service's address, or those of all tasks where it has none (endpoint mode dnsrr)
 *     tasks.web       those of all tasks that serve
 *     nearest.web     those of the tasks on this node, else those at this node's site, else those of all
 *     web.backend     the same, of the network named
 *     web.1.TASKID    a task
 *     an alias        as the service whose tasks ask for it
 *     host.docker.internal   the device itself, for who has a way out
 *
 * Pure.
 */
import { contains, parseBlock, parseIPv4 } from "../api/ipv4.ts";
import type { AssignedBackend, AssignedNetwork } from "../api/network_assignment.ts";
import type { TasksHere } from "./askers.ts";
import type { NodeNetworks } from "./node_networks.ts";

/** The device, as Docker's users call it, and its address on the link that all containers reach by their way out. */
const HOST_NAME = "host.docker.internal", HOST_ADDRESS = "169.254.77.1";

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

/** The addresses of `name` in `networks`, those of the first network that knows it, for who is on the node `nodeID`. */
export function findName(
  told: NodeNetworks,
  networks: readonly AssignedNetwork[],
  name: string,
  nodeID: string,
): Found {
  for (const network of networks) {
    const suffix = `.${network.Name.toLowerCase()}`;
    const short = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
    const addresses = addressesIn(told, network, short, nodeID) ?? addressesIn(told, network, name, nodeID);
    if (addresses !== undefined) return { addresses };
  }
  const isHost = name === HOST_NAME && networks.some(({ Internal }) => !Internal);
  return isHost ? { addresses: [HOST_ADDRESS] } : undefined;
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

function addressesIn(
  told: NodeNetworks,
  network: AssignedNetwork,
  name: string,
  nodeID: string,
): string[] | undefined {
  const services = told.services(network.ID);
  const task = services.flatMap(({ Backends }) => Backends).find(({ Name }) => Name.toLowerCase() === name);
  if (task !== undefined) return [task.Address];
  const prefix = ["tasks.", "nearest."].find((each) => name.startsWith(each)) ?? "";
  const called = name.slice(prefix.length);
  const found = services.filter(({ Name, Aliases }) =>
    Name.toLowerCase() === called || Aliases.some((alias) => alias.toLowerCase() === called)
  );
  if (found.length === 0) return undefined;
  const all = found.flatMap(({ Backends }) => Backends);
  if (prefix === "nearest.") return nearest(told, network, all, nodeID).map(({ Address }) => Address);
  if (prefix === "tasks.") return all.map(({ Address }) => Address);
  return found.flatMap(({ VirtualIP, Backends }) => VirtualIP ?? Backends.map(({ Address }) => Address));
}

function nearest(
  told: NodeNetworks,
  { ID, Site }: AssignedNetwork,
  backends: readonly AssignedBackend[],
  nodeID: string,
): readonly AssignedBackend[] {
  const here = backends.filter(({ NodeID }) => NodeID === nodeID);
  if (here.length > 0) return here;
  const peers = told.peers(ID).filter((peer) => Site !== undefined && peer.Site === Site);
  const near = backends.filter(({ NodeID }) => peers.some((peer) => peer.NodeID === NodeID));
  return near.length > 0 ? near : backends;
}
