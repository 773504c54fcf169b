/** The store's tables. A new kind of object is one line here and its indexes in `indexes.ts`. */
import type { Cluster } from "../../api/cluster.ts";
import type { Node } from "../../api/node.ts";
import type { Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";

/** Table name to the type of its objects. */
export interface Tables {
  clusters: Cluster;
  nodes: Node;
  services: Service;
  tasks: Task;
}

/** Name of a table. */
export type TableName = keyof Tables;

/** Every table, in the order in which a snapshot is written. */
export const TABLE_NAMES: readonly TableName[] = ["clusters", "nodes", "services", "tasks"];

/**
 * Index names by table. `name` is case-folded and unique. `slot` is `serviceID/slot`, for a global
 * service's task `serviceID/nodeID`.
 */
export interface Indexes {
  clusters: "name";
  nodes: "publicKeyDigest";
  services: "name";
  tasks: "serviceID" | "nodeID" | "slot";
}
