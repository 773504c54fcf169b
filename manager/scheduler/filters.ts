/**
 * What a node must fulfil to take a task, in the order in which it is asked (SwarmKit
 * `manager/scheduler/filter.go`).
 */
import type { Platform } from "../../api/objects.ts";
import type { Task } from "../../api/task.ts";
import { taskSchedule } from "../../api/schedule.ts";
import { platformMatches } from "../../api/platform.ts";
import { variablesOf } from "../../api/task_template.ts";
import { nodeMatches, unmetConstraints } from "../placement/constraint.ts";
import type { NodeInfo } from "./node_info.ts";
import { hasPlugins, pluginNeeds } from "./plugins.ts";

interface Filter {
  /** It looks at nothing that placing tasks changes. */
  lasting?: boolean;
  /** How many more tasks like this the node can take as far as this filter goes: 0, some, or Infinity. */
  room(task: Task, info: NodeInfo): number;
  /** Why `nodes` ("1 node", "3 nodes") were refused, of which `info` is one, in Docker's words. */
  explain(nodes: string, task: Task, info: NodeInfo): string;
  /** Why this node was refused: what follows "the node". */
  refusal(task: Task, info: NodeInfo): string;
}

function platformName({ OS, Architecture }: Platform): string {
  return `${OS || "any system"}/${Architecture || "any architecture"}`;
}

const FILTERS: readonly Filter[] = [
  {
    lasting: true,
    room: (_, { node }) =>
      node.Status.State === "ready" && node.Spec.Availability === "active" ? Infinity : 0,
    explain: (nodes) => `${nodes} not available for new tasks`,
    refusal: (_, { node: { Spec, Status } }) =>
      Status.State === "ready" ? `takes no new tasks (${Spec.Availability})` : `is ${Status.State}`,
  },
  {
    lasting: true,
    room: ({ Spec }, { node }) => node.Description?.Runtimes.includes(Spec.Runtime) ? Infinity : 0,
    explain: (nodes, { Spec }) => `no ${Spec.Runtime} runtime on ${nodes}`,
    refusal: ({ Spec: { Runtime } }, { node: { Description } }) => {
      const why = Description?.MissingRuntimes?.[Runtime];
      return `has no ${Runtime} runtime${why === undefined ? "" : ` (${why})`}`;
    },
  },
  {
    lasting: true,
    // An agent that does not know of it would run the program at once.
    room: (task, { node }) => taskSchedule(task) === undefined || node.Description?.Schedules ? Infinity : 0,
    explain: (nodes) => `agent without schedules on ${nodes}`,
    refusal: () => "has an agent that runs no job by the clock",
  },
  {
    room: ({ Spec }, { free }) => free.room(Spec.Resources?.Reservations),
    explain: (nodes) => `insufficient resources on ${nodes}`,
    refusal: ({ Spec }, { free }) =>
      `has too little free: ${free.shortOf(Spec.Resources?.Reservations).join(", ")}`,
  },
  {
    lasting: true,
    room: (task, { node }) => hasPlugins(task, node) ? Infinity : 0,
    explain: (nodes) => `missing plugin on ${nodes}`,
    refusal: () => "lacks a plugin of its engine for a volume or the log",
  },
  {
    lasting: true,
    room: ({ Spec, NetworkAttachments }, { node }) =>
      NetworkAttachments === undefined || node.Description?.OverlayRuntimes?.includes(Spec.Runtime)
        ? Infinity
        : 0,
    explain: (nodes) => `missing network support on ${nodes}`,
    refusal: () => "cannot attach tasks to networks between nodes",
  },
  {
    lasting: true,
    room: ({ Spec }, { node }) => nodeMatches(Spec.Placement, node) ? Infinity : 0,
    explain: (nodes) => `scheduling constraints not satisfied on ${nodes}`,
    refusal: ({ Spec }, { node }) => `does not meet ${unmetConstraints(Spec.Placement, node).join(", ")}`,
  },
  {
    lasting: true,
    room: ({ Spec }, { node }) =>
      platformMatches(Spec.Placement?.Platforms, node.Description?.Platform) ? Infinity : 0,
    explain: (nodes) => `unsupported platform on ${nodes}`,
    refusal: ({ Spec }, { node: { Description } }) => {
      const wanted = Spec.Placement?.Platforms?.map(platformName).join(" or ");
      return `is ${
        Description === undefined ? "of an unknown platform" : platformName(Description.Platform)
      }, not ${wanted}`;
    },
  },
  {
    room: (task, info) => task.Ports === undefined ? Infinity : info.portsFree(task) ? 1 : 0,
    explain: (nodes) => `host-mode port already in use on ${nodes}`,
    refusal: () => "has one of the host ports in use",
  },
  {
    room: ({ Spec, ServiceID }, info) => {
      const max = Spec.Placement?.MaxReplicas ?? 0;
      return max === 0 ? Infinity : Math.max(0, max - info.serviceTasks(ServiceID));
    },
    explain: () => "max replicas per node limit exceed",
    refusal: ({ Spec, ServiceID }, info) =>
      `has ${info.serviceTasks(ServiceID)} tasks of the service, and may have ${Spec.Placement?.MaxReplicas}`,
  },
  {
    room: (task, info) => info.variables(task).missing === undefined ? Infinity : 0,
    explain: (nodes, task, info) => `no value for variable ${info.variables(task).missing} on ${nodes}`,
    refusal: (task, info) => `has no value for variable ${info.variables(task).missing}`,
  },
  {
    room: (task, info) => info.unsealed(task) === undefined ? Infinity : 0,
    explain: (nodes, task, info) => `secret ${info.unsealed(task)} is not sealed for ${nodes}`,
    refusal: (task, info) => `cannot open secret ${info.unsealed(task)}, which is not sealed for it`,
  },
];

const LASTING_FILTERS = FILTERS.filter(({ lasting }) => lasting);

/** How many tasks like `task` the node can take now; Infinity if nothing limits it. */
export function roomFor(task: Task, info: NodeInfo): number {
  return roomIn(FILTERS, task, info);
}

/** False if the node cannot take tasks like `task`, however few it has. The same for all of one {@linkcode kindOf}. */
export function isEligible(task: Task, info: NodeInfo): boolean {
  return roomIn(LASTING_FILTERS, task, info) > 0;
}

function roomIn(filters: readonly Filter[], task: Task, info: NodeInfo): number {
  let room = Infinity;
  for (const filter of filters) {
    room = Math.min(room, filter.room(task, info));
    if (room === 0) return 0;
  }
  return room;
}

/** The same for tasks that may go to the same nodes, spread over them in the same way. */
export function kindOf(task: Task): string {
  const { Runtime, Placement } = task.Spec;
  const { Constraints, Platforms, Preferences } = Placement ?? {};
  const isAttached = task.NetworkAttachments !== undefined;
  const isScheduled = taskSchedule(task) !== undefined;
  return JSON.stringify([
    Runtime,
    Constraints,
    Platforms,
    Preferences,
    pluginNeeds(task),
    isAttached,
    isScheduled,
  ]);
}

/**
 * The same for tasks of one kind of which none has room where another found none; undefined for those that may be refused
 * for what their own service has, or needs.
 */
export function demandOf(task: Task, kind: string): string | undefined {
  const { Placement, ContainerSpec, ProcessSpec } = task.Spec,
    { Secrets, Configs } = ContainerSpec ?? ProcessSpec ?? {};
  if (task.Ports !== undefined || Placement?.MaxReplicas) return undefined;
  if (Secrets !== undefined || Configs !== undefined || variablesOf(task.Spec).length > 0) return undefined;
  return `${kind} ${JSON.stringify(task.Spec.Resources?.Reservations ?? null)}`;
}

/** Why the node takes no task like `task`: what follows "the node"; undefined if it takes one. */
export function refusalOf(task: Task, info: NodeInfo): string | undefined {
  return FILTERS.find((filter) => filter.room(task, info) === 0)?.refusal(task, info);
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
