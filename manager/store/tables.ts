/** The store's tables. A new kind of object is one line here and its indexes in `indexes.ts`. */
import type { Cluster } from "../../api/cluster.ts";
import type { Config, DependencyKind, Seal, Secret } from "../../api/dependency.ts";
import type { Network } from "../../api/network.ts";
import type { Node } from "../../api/node.ts";
import type { Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import type { Variables } from "../../api/variables.ts";

/** Table name to the type of its objects. */
export interface Tables {
  clusters: Cluster;
  nodes: Node;
  services: Service;
  tasks: Task;
  secrets: Secret;
  configs: Config;
  variables: Variables;
  seals: Seal;
  networks: Network;
}

/** In which table the objects of a kind are. */
export const TABLE_OF = { secret: "secrets", config: "configs" } as const satisfies Record<
  DependencyKind,
  keyof Tables
>;

/** Name of a table. */
export type TableName = keyof Tables;

/** Every table, in the order in which a snapshot is written. */
export const TABLE_NAMES: readonly TableName[] = [
  "clusters",
  "nodes",
  "services",
  "tasks",
  "secrets",
  "configs",
  "variables",
  "seals",
  "networks",
];

/**
 * Index names by table. `name` is case-folded and unique. `slot` is `serviceID/slot`, for a global
 * service's task `serviceID/nodeID`.
 */
export interface Indexes {
  clusters: "name";
  nodes: "publicKeyDigest";
  services: "name";
  tasks: "serviceID" | "nodeID" | "slot";
  secrets: "name";
  configs: "name";
  variables: "name";
  seals: "secretID" | "nodeID";
  networks: "name";
}
