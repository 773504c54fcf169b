/**
 * Who is where in the cluster's networks: made from the store, and kept up with each commit at the cost of what changed in
 * it. Pure.
 */
import { deepEqual } from "../../api/deep_equal.ts";
import { parseIPv4 } from "../../api/ipv4.ts";
import { MTU_OPTION, type Network, type NetworkAttachment } from "../../api/network.ts";
import {
  type AssignedNetwork,
  type AssignedPeer,
  DEFAULT_DATA_PATH_PORT,
} from "../../api/network_assignment.ts";
import type { Node } from "../../api/node.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";
import { SITE_LABEL } from "../../api/variables.ts";
import type { ReadView } from "../store/store.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import { addressAtSite, allowsRelay } from "../cluster/networks.ts";

/** A node whose part in a network changed. */
export interface Place {
  NetworkID: string;
  NodeID: string;
}

/** True for a task that is on its node, or about to be. */
export function isOnNode({ NodeID, Status }: Task): boolean {
  return NodeID !== "" && compareStates(Status.State, "assigned") >= 0 && !isTerminal(Status.State);
}

/** Where other nodes send what is for a node's overlay networks; undefined while nobody knows. */
function dataPathAddr({ Description, Status }: Node): string | undefined {
  return (Description?.DataPathAddr ?? Status.Addr) || undefined;
}

/** Where a node stands; undefined without a label that says it. */
function siteOf(node: Node | undefined): { Site?: string } {
  const Site = node?.Spec.Labels[SITE_LABEL];
  return Site ? { Site } : {};
}

/** How `other` is reached from `from`: by an address; `relay` where only a manager reaches both. */
function wayBetween(from: Node | undefined, other: Node): string | undefined {
  const here = from && addressAtSite(from), there = addressAtSite(other);
  if (here === undefined && there === undefined) return dataPathAddr(other);
  return here !== undefined && there !== undefined && from!.Status.Addr === other.Status.Addr
    ? there
    : "relay";
}

/** Addresses by network, by node, by who has them there. */
export class NetworkMap {
  readonly #networks = new Map<string, Map<string, Map<string, string>>>();

  /** Begins anew from what the store says. */
  rebuild(view: ReadView): void {
    this.#networks.clear();
    for (const task of view.all("tasks")) this.task(task, undefined);
    for (const node of view.all("nodes")) this.node(node, undefined);
  }

  /** The nodes that are in a network. */
  nodes(id: string): Iterable<string> {
    return this.#networks.get(id)?.keys() ?? [];
  }

  /** True if a node is in a network. */
  has(id: string, nodeID: string): boolean {
    return this.#networks.get(id)?.has(nodeID) ?? false;
  }

  /** Notes a task that is there now, or is gone, and what it was before; returns where that changes something. */
  task(task: Task | undefined, old: Task | undefined): Place[] {
    const before = old && old.NetworkAttachments && isOnNode(old) ? old : undefined;
    const after = task && task.NetworkAttachments && isOnNode(task) ? task : undefined;
    // What a task was given never changes.
    if (before?.NodeID === after?.NodeID) return [];
    return [
      ...before ? this.#remove(before.NodeID, before.ID, before.NetworkAttachments!) : [],
      ...after ? this.#add(after.NodeID, after.ID, after.NetworkAttachments!) : [],
    ];
  }

  /** The same for a node. */
  node(node: Node | undefined, old: Node | undefined): Place[] {
    const id = (node ?? old)!.ID, holder = `node/${id}`;
    const before = old?.Attachments ?? [], after = node?.Attachments ?? [];
    if (!deepEqual(before, after)) {
      const places = [...this.#remove(id, holder, before), ...this.#add(id, holder, after)];
      return [...new Map(places.map((place) => [place.NetworkID, place])).values()];
    }
    const hasMoved = node !== undefined && old !== undefined &&
      (dataPathAddr(node) !== dataPathAddr(old) || siteOf(node).Site !== siteOf(old).Site ||
        addressAtSite(node) !== addressAtSite(old));
    if (!hasMoved) return [];
    const networks = [...this.#networks].filter(([, nodes]) => nodes.has(id));
    return networks.map(([NetworkID]) => ({ NetworkID, NodeID: id }));
  }

  /** What the node `from` has to know of another in a network; undefined if that is not in it, or its address is not known. */
  peer(view: ReadView, { NetworkID, NodeID }: Place, from: string): AssignedPeer | undefined {
    const held = this.#networks.get(NetworkID)?.get(NodeID), node = view.get("nodes", NodeID);
    const network = view.get("networks", NetworkID);
    const way = node && wayBetween(view.get("nodes", from), node);
    // A published port is answered by who can be reached: what is sent elsewhere comes to nothing.
    const isRelayed = way === "relay" && network !== undefined &&
      (allowsRelay(network) || network.Spec.Ingress === true);
    const DataPathAddr = way === "relay" ? dataPathAddr(node!) : way;
    if (held === undefined || DataPathAddr === undefined) return undefined;
    const Addresses = [...new Set(held.values())].sort((a, b) => parseIPv4(a)! - parseIPv4(b)!);
    const relayed = isRelayed ? { Relayed: true as const } : {};
    return { NetworkID, NodeID, DataPathAddr, Addresses, ...siteOf(node), ...relayed };
  }

  #add(NodeID: string, holder: string, attachments: readonly NetworkAttachment[]): Place[] {
    return attachments.map(({ NetworkID, Addresses: [address = ""] }) => {
      const nodes = this.#networks.get(NetworkID) ?? new Map<string, Map<string, string>>();
      const held = nodes.get(NodeID) ?? new Map<string, string>();
      this.#networks.set(NetworkID, nodes.set(NodeID, held.set(holder, address.split("/", 1)[0]!)));
      return { NetworkID, NodeID };
    });
  }

  #remove(NodeID: string, holder: string, attachments: readonly NetworkAttachment[]): Place[] {
    return attachments.map(({ NetworkID }) => {
      const nodes = this.#networks.get(NetworkID), held = nodes?.get(NodeID);
      held?.delete(holder);
      if (held?.size === 0) nodes?.delete(NodeID);
      if (nodes?.size === 0) this.#networks.delete(NetworkID);
      return { NetworkID, NodeID };
    });
  }
}

/** What `nodeID` has to know of a network itself; undefined if there is none. */
export function assignedNetwork(view: ReadView, id: string, nodeID: string): AssignedNetwork | undefined {
  const network = view.get("networks", id);
  if (network === undefined) return undefined;
  const { ID, Spec, VNI, Subnets } = network;
  const node = view.get("nodes", nodeID), own = node?.Attachments?.find(({ NetworkID }) => NetworkID === id);
  const [NodeAddress] = own?.Addresses ?? [], MTU = mtuOf(network);
  return {
    ID,
    Name: Spec.Name,
    VNI,
    DataPathPort: clusterOf(view)?.DataPathPort ?? DEFAULT_DATA_PATH_PORT,
    Subnets: Subnets.map(({ Subnet, Gateway }) => ({ Subnet, Gateway })),
    ...(NodeAddress !== undefined && { NodeAddress }),
    ...siteOf(node),
    Internal: Spec.Internal ?? false,
    Ingress: Spec.Ingress ?? false,
    ...(MTU !== undefined && { MTU }),
  };
}

function mtuOf({ Spec: { Options = {} } }: Network): number | undefined {
  // 0 is the usual one, as with Docker.
  return Object.hasOwn(Options, MTU_OPTION) ? Number(Options[MTU_OPTION]) || undefined : undefined;
}
