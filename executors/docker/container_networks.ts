/** How a container is in the cluster's networks. */
import type { NetworkAttachment } from "../../api/network.ts";

/** What a container is created with. */
export interface ContainerNetworks {
  /** The engine's network that it is in from the beginning; the engine's own bridge is the way out of those that have one. */
  mode: string;
  /** All others, which it is connected to before it is started. */
  others: { name: string; attachment: NetworkAttachment }[];
  first?: NetworkAttachment;
  nameservers: string[];
}

/** What a container is in a network. */
export function endpointConfig({ Addresses }: NetworkAttachment): Record<string, unknown> {
  return { IPAMConfig: { IPv4Address: Addresses[0]!.split("/", 1)[0] } };
}
