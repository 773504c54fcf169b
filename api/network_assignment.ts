/**
 * What a node programs of the cluster's networks: assignments of three kinds, only for the networks that tasks of the node
 * are attached to. Published ports are answered by every node, so the ingress network goes to each node that can do it.
 *
 * - `network` comes before the first task that needs it and goes after the last one. With it go all its peers: they are
 *   not taken back one by one.
 * - `network_peer` comes after its network: another node that takes part in it, with every address that is reached there.
 *   It is sent anew, whole, whenever a task of that node comes or goes, so one change touches one peer; it is removed when
 *   nothing of the network is left there. A task may start before all its peers are known.
 * - `network_service` comes after its network too: a service that has an address or tasks there. It is sent anew, whole, when
 *   a task of it begins to serve or ends to, so that one change of a service touches that service.
 * - A complete set names all of them: what is not in it is gone.
 *
 * A node that dials out only is a peer like any other, with the address it dialled from.
 */
import type { NetworkSubnet } from "./network.ts";
import type { PortConfig } from "./service.ts";

/** The kinds, as assignments name them. */
export type NetworkAssignmentKind = "network" | "network_peer" | "network_service";

/** UDP port of the VXLAN carrier unless the cluster was made with another (Docker's, and IANA's). */
export const DEFAULT_DATA_PATH_PORT = 4789;

/** A network, without who else is in it. */
export interface AssignedNetwork {
  ID: string;
  /** As users call it; a device's name has to be made from `VNI`, which is short and unique. */
  Name: string;
  /** VXLAN network identifier: 4096 to 16777215. */
  VNI: number;
  /** UDP port on which every node of the cluster carries VXLAN. */
  DataPathPort: number;
  /** At least one. The gateway's address is the same on every node, and stays on it. */
  Subnets: Pick<NetworkSubnet, "Subnet" | "Gateway">[];
  /**
   * The node's own address in the network, with its mask: what it hands on for others comes from there (virtual addresses,
   * published ports), so that answers come back to it. Absent until one was given, then sent anew with it.
   */
  NodeAddress?: string;
  /** Where the node stands, by its label `site`; absent without one. */
  Site?: string;
  /** No way out of the network. */
  Internal: boolean;
  /** Published ports reach tasks over it. */
  Ingress: boolean;
  /** Bytes of the largest packet inside, where the user set it; else the carrier's less what VXLAN takes. */
  MTU?: number;
}

/** Another node in a network. */
export interface AssignedPeer {
  NetworkID: string;
  NodeID: string;
  /** IPv4 or IPv6 address, without port, to which VXLAN packets for its tasks go. */
  DataPathAddr: string;
  /**
   * No packet of this node gets there, and the network allows that a manager passes connections on; in the ingress network,
   * that published ports lead nowhere there.
   */
  Relayed?: true;
  /**
   * The IPv4 addresses in the network that are reached there, without mask, in ascending order: its tasks' and its own.
   * Whoever has one has the hardware address that is made of it: `02:42:`, then its four bytes (10.0.1.5: 02:42:0a:00:01:05).
   */
  Addresses: string[];
  /** As `AssignedNetwork.Site`. */
  Site?: string;
}

/** The ID of a peer's assignment. */
export function peerID({ NetworkID, NodeID }: Pick<AssignedPeer, "NetworkID" | "NodeID">): string {
  return `${NetworkID}/${NodeID}`;
}

/** A task that serves: it runs, is healthy where it has a health check, and has not been told to stop. */
export interface AssignedBackend {
  TaskID: string;
  /** As the engine's container is called. */
  Name: string;
  NodeID: string;
  /** IPv4 address in the network, without mask. */
  Address: string;
}

/** A service in a network. */
export interface AssignedService {
  NetworkID: string;
  ServiceID: string;
  Name: string;
  /** Other names that its tasks ask to be found by. */
  Aliases: string[];
  /** IPv4 address, without mask, that stands for all that serve; none: each is found by its own. */
  VirtualIP?: string;
  /** In the ingress network: the ports that every node answers, each with its number. */
  Ports: PortConfig[];
  /** By address, in ascending order. */
  Backends: AssignedBackend[];
}

/** The ID of a service's assignment. */
export function networkServiceID(
  { NetworkID, ServiceID }: Pick<AssignedService, "NetworkID" | "ServiceID">,
): string {
  return `${NetworkID}/${ServiceID}`;
}
