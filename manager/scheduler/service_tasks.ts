/** How many wanted tasks of each service are on which node. Of most services, few nodes have any. */
import type { NodeInfo } from "./node_info.ts";

const NOWHERE: ReadonlyMap<NodeInfo, number> = new Map();

export class ServiceTasks {
  readonly #byService = new Map<string, Map<NodeInfo, number>>();

  /** The nodes that have any, and how many. Goes on changing. */
  of(serviceID: string): ReadonlyMap<NodeInfo, number> {
    return this.#byService.get(serviceID) ?? NOWHERE;
  }

  /** Counts one more, or one less, on a node. */
  count(serviceID: string, info: NodeInfo, by: 1 | -1): void {
    let nodes = this.#byService.get(serviceID);
    if (nodes === undefined) this.#byService.set(serviceID, nodes = new Map());
    const count = (nodes.get(info) ?? 0) + by;
    if (count > 0) nodes.set(info, count);
    else nodes.delete(info);
    if (nodes.size === 0) this.#byService.delete(serviceID);
  }

  clear(): void {
    this.#byService.clear();
  }
}
