/**
 * What a node must fulfil to take a task, in the order in which it is asked (SwarmKit
 * `manager/scheduler/filter.go`).
 */
import type { Task } from "../../api/task.ts";
import { nodeMatches } from "../placement/constraint.ts";
import { platformMatches } from "../placement/platform.ts";
import type { NodeInfo } from "./node_info.ts";
import { hasPlugins } from "./plugins.ts";

interface Filter {
  /** How many more tasks like this the node can take as far as this filter goes: 0, some, or Infinity. */
  room(task: Task, info: NodeInfo): number;
  /** Why `nodes` ("1 node", "3 nodes") were refused, of which `info` is one. */
  explain(nodes: string, task: Task, info: NodeInfo): string;
}

const FILTERS: readonly Filter[] = [
  {
    room: (_, { node }) =>
      node.Status.State === "ready" && node.Spec.Availability === "active" ? Infinity : 0,
    explain: (nodes) => `${nodes} not available for new tasks`,
  },
  {
    room: ({ Spec }, { node }) => node.Description?.Runtimes.includes(Spec.Runtime) ? Infinity : 0,
    explain: (nodes, { Spec }) => `no ${Spec.Runtime} runtime on ${nodes}`,
  },
  {
    room: ({ Spec }, { free }) => free.room(Spec.Resources?.Reservations),
    explain: (nodes) => `insufficient resources on ${nodes}`,
  },
  {
    room: (task, { node }) => hasPlugins(task, node) ? Infinity : 0,
    explain: (nodes) => `missing plugin on ${nodes}`,
  },
  {
    room: ({ Spec }, { node }) => nodeMatches(Spec.Placement, node) ? Infinity : 0,
    explain: (nodes) => `scheduling constraints not satisfied on ${nodes}`,
  },
  {
    room: ({ Spec }, { node }) =>
      platformMatches(Spec.Placement?.Platforms, node.Description?.Platform) ? Infinity : 0,
    explain: (nodes) => `unsupported platform on ${nodes}`,
  },
  {
    room: (task, info) => task.Ports === undefined ? Infinity : info.portsFree(task) ? 1 : 0,
    explain: (nodes) => `host-mode port already in use on ${nodes}`,
  },
  {
    room: ({ Spec, ServiceID }, info) => {
      const max = Spec.Placement?.MaxReplicas ?? 0;
      return max === 0 ? Infinity : Math.max(0, max - info.serviceTasks(ServiceID));
    },
    explain: () => "max replicas per node limit exceed",
  },
  {
    room: (task, info) => info.variables(task).missing === undefined ? Infinity : 0,
    explain: (nodes, task, info) => `no value for variable ${info.variables(task).missing} on ${nodes}`,
  },
  {
    room: (task, info) => info.unsealed(task) === undefined ? Infinity : 0,
    explain: (nodes, task, info) => `secret ${info.unsealed(task)} is not sealed for ${nodes}`,
  },
];

/** How many tasks like `task` the node can take now; Infinity if nothing limits it. */
export function roomFor(task: Task, info: NodeInfo): number {
  let room = Infinity;
  for (const filter of FILTERS) {
    room = Math.min(room, filter.room(task, info));
    if (room === 0) return 0;
  }
  return room;
}

/**
 * Why no node of `infos` takes `task`, in Docker's words, the most frequent reason first: `2 nodes not
 * available for new tasks; insufficient resources on 1 node`. Empty if there is no node at all.
 */
export function explain(task: Task, infos: Iterable<NodeInfo>): string {
  const refused = FILTERS.map((filter) => ({ filter, nodes: [] as NodeInfo[] }));
  for (const info of infos) {
    const refusal = refused.find(({ filter }) => filter.room(task, info) === 0);
    refusal?.nodes.push(info);
  }
  return refused.filter(({ nodes }) => nodes.length > 0)
    .sort((a, b) => b.nodes.length - a.nodes.length)
    .map(({ filter, nodes }) =>
      filter.explain(nodes.length === 1 ? "1 node" : `${nodes.length} nodes`, task, nodes[0]!)
    )
    .join("; ");
}
