/** The networks that every container engine has, which need no swarm to make them: specs hold them by name, clients see IDs. */
import type { NetworkAttachmentConfig, TaskSpec } from "./service.ts";

/** One of them. */
export interface PredefinedNetwork {
  readonly ID: string;
  readonly Name: string;
  readonly Driver: string;
}

/** Their IDs are the same in every cluster, and as long as those that Docker gives them. */
export const PREDEFINED_NETWORKS: readonly PredefinedNetwork[] = [
  { ID: "predefined0network0bridge", Name: "bridge", Driver: "bridge" },
  { ID: "predefined0network0host00", Name: "host", Driver: "host" },
  { ID: "predefined0network0none00", Name: "none", Driver: "null" },
];

/** Those that Docker's swarm has as networks of its own, so that no other may have their names, of the swarm or of a node. */
export const TAKEN_NAMES: readonly string[] = ["bridge", "host"];

/** The network of this name or ID. */
export function predefinedNetwork(reference: string): PredefinedNetwork | undefined {
  return PREDEFINED_NETWORKS.find(({ ID, Name }) => reference === ID || reference === Name);
}

/** The cluster's own networks that a task is to be attached to; specs name them by ID. */
export function clusterNetworks({ Networks = [] }: Pick<TaskSpec, "Networks">): NetworkAttachmentConfig[] {
  return Networks.filter(({ Target }) => predefinedNetwork(Target) === undefined);
}
