/**
 * Programs in the cluster's networks: each has a network namespace of its own on the node, made by the helper, with a device in each
 * of its networks. What is asked of the helper for them. Pure.
 */
import type { NetworkAttachment } from "../api/network.ts";
import { type PortConfig, RUNTIME_CONTAINER } from "../api/service.ts";
import type { NodeNetworks } from "./node_networks.ts";
import { type HelperRequest, nameserverOf } from "./plan.ts";

/** What is known here of a task. */
export interface TaskHere {
  ID: string;
  Spec: { Runtime: string };
  NetworkAttachments?: NetworkAttachment[];
  Ports?: PortConfig[];
}

/** Tasks that are in networks by a namespace of ours; those of an engine are in there by its own. */
export function programsIn<T extends TaskHere>(tasks: Iterable<T>): T[] {
  return [...tasks].filter(({ Spec, NetworkAttachments = [] }) =>
    Spec.Runtime !== RUNTIME_CONTAINER && NetworkAttachments.length > 0
  );
}

/** The namespace of a task, once all its networks are there. */
export function planJoin(told: NodeNetworks, { ID, NetworkAttachments = [] }: TaskHere): HelperRequest {
  const networks = NetworkAttachments.map(({ NetworkID }) => told.networks.get(NetworkID)!);
  const named = networks.filter(({ Ingress }) => !Ingress);
  const open = named.find(({ Internal }) => !Internal);
  const places = NetworkAttachments.map(({ Addresses }, at) => `${networks[at]!.VNI}@${Addresses[0]}`);
  return {
    verb: "join",
    words: [
      ID,
      open === undefined ? "-" : nameserverOf(open),
      named[0] === undefined ? "-" : nameserverOf(named[0]),
      ...places,
    ],
  };
}

/** Which tasks' namespaces there may be. */
export function planTasks(programs: readonly TaskHere[]): HelperRequest {
  return { verb: "tasks", words: programs.map(({ ID }) => ID).sort() };
}

/** The rules for what programs send elsewhere, and for their ports in host mode. */
export function programRules(told: NodeNetworks, programs: readonly TaskHere[]): string[] {
  const ways = new Set<string>(), ports: string[] = [];
  for (const { NetworkAttachments = [], Ports = [] } of programs) {
    const networks = NetworkAttachments.flatMap(({ NetworkID }) => told.networks.get(NetworkID) ?? []);
    for (const { Internal, VNI } of networks) ways.add(`${Internal ? "closed" : "open"}:${VNI}`);
    // Any network's address will do: it is reached by this node's own.
    const first = NetworkAttachments.find(({ NetworkID }) => told.networks.get(NetworkID)?.NodeAddress);
    const [address] = first?.Addresses[0]?.split("/", 1) ?? [];
    for (const { PublishMode, Protocol, PublishedPort, TargetPort } of Ports) {
      if (PublishMode !== "host" || !PublishedPort || address === undefined) continue;
      ports.push(`port:${Protocol}:${PublishedPort}:${TargetPort}:${address}`);
    }
  }
  return [...ways, ...ports];
}
