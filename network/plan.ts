/** From what a node was told to what its helper is to make: requests that can be compared, so that only changes are asked for. Pure. */
import { parseBlock, parseIPv4 } from "../api/ipv4.ts";
import type { AssignedNetwork, AssignedService } from "../api/network_assignment.ts";
import type { NodeNetworks } from "./node_networks.ts";

/** A request to the helper: its verb, and its words. */
export interface HelperRequest {
  verb: "network" | "addresses" | "table" | "rules" | "serve" | "askers" | "near" | "keep" | "join" | "tasks";
  words: string[];
}

/** The device of the host's own side of a network, on which containers get theirs. */
export function networkDevice({ VNI }: Pick<AssignedNetwork, "VNI">): string {
  return `cvp${VNI.toString(16)}`;
}

/** Where a network's containers ask for names. */
export function nameserverOf({ Subnets }: Pick<AssignedNetwork, "Subnets">): string {
  return Subnets[0]!.Gateway;
}

/** The hardware address that is made of an address; see `AssignedPeer.Addresses`. */
function hardwareAddress(address: string): string {
  const number = parseIPv4(address)!;
  const bytes = [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256);
  return ["02", "42", ...bytes.map((byte) => byte.toString(16).padStart(2, "0"))].join(":");
}

/** What a network needs, in the order in which it is to be made. `dataPath` is the node's own address for it, if it was named. */
export function planNetwork(told: NodeNetworks, network: AssignedNetwork, dataPath: string): HelperRequest[] {
  const { ID, VNI, DataPathPort, MTU = 0, Subnets } = network;
  const own = withoutMask(network.NodeAddress), vni = String(VNI);
  // The carrier is IPv4: who is known by another address only is not in reach.
  const peers = told.peers(ID).filter(({ DataPathAddr, Relayed }) =>
    !Relayed && parseIPv4(DataPathAddr) !== undefined
  );
  const carrier = dataPath || peers[0]?.DataPathAddr || "-";
  const mac = own === undefined ? "-" : hardwareAddress(own);
  const gateways = Subnets.map(({ Subnet, Gateway }) => `${Gateway}/${parseBlock(Subnet)!.bits}`);
  // What is relayed comes here, as if it were at hand.
  const relayed = network.Ingress ? [] : told.relayed(ID);
  const single = [...own === undefined ? [] : [own], ...virtualAddresses(told, network), ...relayed];
  return [
    { verb: "network", words: [vni, String(DataPathPort), String(MTU), carrier, mac] },
    { verb: "addresses", words: [vni, ...gateways, ...new Set(single.map((address) => `${address}/32`))] },
    {
      verb: "table",
      words: [
        vni,
        ...peers.flatMap(({ Addresses, DataPathAddr }) =>
          Addresses.map((address) => `${address}@${DataPathAddr}`)
        ),
      ],
    },
  ];
}

/** The node's rules. */
export interface PlannedRules {
  /** What is as it is, whoever serves. */
  fixed: string[];
  /** Which addresses and ports there are, without who serves behind them. */
  heads: string[];
  /** Who serves, by network and service: each may be loaded by itself, what stands above only with everything. */
  serving: Map<string, string[]>;
  /** Who asks for names, and by which address that is heard: may be loaded by itself, too. */
  askers: string[];
}

/**
 * All rules of the node; none where it has no networks. `askers`: who asks for names, and by which address that is heard; `more`:
 * what programs need.
 */
export function planRules(
  told: NodeNetworks,
  askers: readonly { address: string; place: string }[],
  more: readonly string[] = [],
): PlannedRules {
  const fixed: string[] = [], heads: string[] = [], serving = new Map<string, string[]>();
  if (told.isEmpty) return { fixed, heads, serving, askers: [] };
  for (const network of told.networks.values()) {
    const own = withoutMask(network.NodeAddress), vni = String(network.VNI);
    if (!network.Ingress) fixed.push(`dns:${nameserverOf(network)}`);
    // Without an address of its own, answers would not come back by this node.
    if (own === undefined) continue;
    fixed.push(`node:${vni}:${own}`);
    const relayed = told.relayed(network.ID);
    if (!network.Ingress) fixed.push(...relayed.map((address) => `relay:${address}`));
    for (const service of told.services(network.ID)) {
      const rules = serviceRules(service, network, new Set(relayed));
      heads.push(...rules.map((rule) => rule.slice(0, rule.lastIndexOf(":"))));
      if (rules.length > 0) serving.set(`${network.ID}/serve/${service.ServiceID}`, rules);
    }
  }
  fixed.push(...more);
  return { fixed, heads, serving, askers: askers.map(({ address, place }) => `from:${address}:${place}`) };
}

/** All of them in one request. */
export function wholeRules({ fixed, serving, askers }: PlannedRules): HelperRequest {
  return { verb: "rules", words: [...askers, ...fixed, ...[...serving.values()].flat()] };
}

/** Which networks there shall be. */
export function planKept(told: NodeNetworks): HelperRequest {
  return { verb: "keep", words: [...told.networks.values()].map(({ VNI }) => String(VNI)) };
}

function serviceRules(
  service: AssignedService,
  { Ingress }: AssignedNetwork,
  relayed: ReadonlySet<string>,
): string[] {
  const direct = service.Backends.map(({ Address }) => Address).filter((address) => !relayed.has(address));
  // Which of those that are relayed it is, is chosen later.
  const others = Ingress ? [] : Array(service.Backends.length - direct.length).fill("relay");
  const backends = [...direct, ...others].join(",");
  const virtual = service.VirtualIP === undefined ? [] : [`vip:${service.VirtualIP}:${backends}`];
  if (!Ingress) return virtual;
  const ports = service.Ports.filter(({ PublishMode }) => PublishMode === "ingress").map((
    { Protocol, PublishedPort, TargetPort },
  ) => `port:${Protocol}:${PublishedPort}:${TargetPort}:${backends}`);
  return [...virtual, ...ports];
}

function virtualAddresses(told: NodeNetworks, { ID }: AssignedNetwork): string[] {
  return told.services(ID).flatMap(({ VirtualIP }) => VirtualIP ?? []);
}

function withoutMask(address: string | undefined): string | undefined {
  return address?.split("/", 1)[0];
}
