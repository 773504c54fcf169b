/**
 * The nodes that tasks of one kind may go to, in the order in which they are taken. Made for one step of the scheduler and
 * shared by all groups of that kind: a group costs the nodes that it looks at, not all that there are.
 *
 *     preferences   branches by label, the one with fewest tasks of the service first
 *       leaf        a heap of nodes by their number of tasks, shared by all groups
 *         group     a heap of the nodes that the group has something to do with: its service has tasks there, they failed
 *                   there, or it took the node from the leaf
 */
import type { Node } from "../../api/node.ts";
import type { PlacementPreference } from "../../api/service.ts";
import { labelReader } from "../placement/label.ts";
import { Heap } from "./heap.ts";
import type { NodeInfo } from "./node_info.ts";

/** Equal tasks of one service that look for nodes. */
export interface Demand {
  /** How many more of the tasks the node can take. */
  room(info: NodeInfo): number;
  /** Tasks of the service by node, of the nodes that have any. */
  serviceTasks: ReadonlyMap<NodeInfo, number>;
  /** Recent failures of the tasks by node, where they matter. */
  failures: ReadonlyMap<NodeInfo, number>;
}

/** Hands out places for one group, one after another. */
export interface Placer {
  /** The best node for the next task, which the caller counts there at once; undefined when nothing has room. */
  next(): NodeInfo | undefined;
  /** Gives back what it took from the pool. */
  finish(): void;
}

/** A node in a leaf. Its tasks only get more while the pool lives, so that the top of the heap can be put right late. */
interface Entry {
  info: NodeInfo;
  total: number;
}

type Branch = Heap<Entry> | Map<string, Branch>;
type Reader = (node: Node) => string;

/** See the head of this file. */
export class Pool {
  readonly #readers: readonly Reader[];
  readonly #root: Branch;

  /** Every preference adds a level of branches, a missing label being a branch of its own. */
  constructor(infos: readonly NodeInfo[], preferences: readonly PlacementPreference[] = []) {
    this.#readers = preferences.map((preference) => labelReader(preference.Spread.SpreadDescriptor))
      .filter((reader) => reader !== undefined);
    this.#root = branchOf(infos, this.#readers);
  }

  /** Begins with a group; only one at a time. */
  place(demand: Demand): Placer {
    const marked = [...demand.serviceTasks.keys()];
    for (const info of demand.failures.keys()) if (!demand.serviceTasks.has(info)) marked.push(info);
    return placerOf(this.#root, this.#readers, demand, marked);
  }
}

function branchOf(infos: readonly NodeInfo[], [reader, ...rest]: readonly Reader[]): Branch {
  if (reader === undefined) {
    return new Heap(infos.map((info) => ({ info, total: info.total })), (a, b) => a.total < b.total);
  }
  const branches = new Map<string, Branch>();
  for (const [label, group] of Map.groupBy(infos, (info) => reader(info.node))) {
    branches.set(label, branchOf(group, rest));
  }
  return branches;
}

/** `marked` are the nodes of the branch, and others beside them, where the service has tasks or its tasks failed. */
function placerOf(
  branch: Branch,
  [reader, ...rest]: readonly Reader[],
  demand: Demand,
  marked: readonly NodeInfo[],
): Placer {
  if (branch instanceof Heap) return new LeafPlacer(branch, demand, marked);
  const byLabel = Map.groupBy(marked, (info) => reader!(info.node));
  const choices = Array.from(branch, ([label, below]) => {
    const inside = byLabel.get(label) ?? [];
    const tasks = inside.reduce((sum, info) => sum + (demand.serviceTasks.get(info) ?? 0), 0);
    return new Choice(tasks, () => placerOf(below, rest, demand, inside));
  });
  return new ForkPlacer(choices);
}

/** A branch that a group may take. Most groups take few of them. */
class Choice {
  placer: Placer | undefined;

  constructor(public tasks: number, readonly make: () => Placer) {}

  next(): NodeInfo | undefined {
    return (this.placer ??= this.make()).next();
  }
}

class ForkPlacer implements Placer {
  readonly #choices: readonly Choice[];
  readonly #heap: Heap<Choice>;

  constructor(choices: Choice[]) {
    this.#choices = choices;
    this.#heap = new Heap([...choices], (a, b) => a.tasks < b.tasks);
  }

  next(): NodeInfo | undefined {
    for (let choice = this.#heap.top; choice !== undefined; choice = this.#heap.top) {
      const info = choice.next();
      if (info === undefined) this.#heap.pop();
      else {
        choice.tasks++;
        this.#heap.sink();
        return info;
      }
    }
    return undefined;
  }

  finish(): void {
    for (const { placer } of this.#choices) placer?.finish();
  }
}

interface Candidate {
  info: NodeInfo;
  room: number;
  failures: number;
  serviceTasks: number;
  total: number;
}

function better(a: Candidate, b: Candidate): boolean {
  if (a.failures !== b.failures) return a.failures < b.failures;
  if (a.serviceTasks !== b.serviceTasks) return a.serviceTasks < b.serviceTasks;
  return a.total < b.total;
}

class LeafPlacer implements Placer {
  readonly #leaf: Heap<Entry>;
  readonly #demand: Demand;
  readonly #marked: ReadonlySet<NodeInfo>;
  readonly #candidates: Heap<Candidate>;
  readonly #taken: Entry[] = [];
  /** The best of the nodes that the group has had nothing to do with, taken from the leaf. */
  #fresh: Candidate | undefined;

  constructor(leaf: Heap<Entry>, demand: Demand, marked: readonly NodeInfo[]) {
    this.#leaf = leaf;
    this.#demand = demand;
    this.#marked = new Set(marked);
    const known = marked.map((info) => this.#candidate(info));
    this.#candidates = new Heap(known.filter(({ room }) => room > 0), better);
  }

  next(): NodeInfo | undefined {
    this.#fresh ??= this.#takeFresh();
    const known = this.#candidates.top;
    if (this.#fresh !== undefined && (known === undefined || better(this.#fresh, known))) {
      this.#candidates.push(this.#fresh);
      this.#fresh = undefined;
    }
    const best = this.#candidates.top;
    if (best === undefined) return undefined;
    best.room--;
    best.serviceTasks++;
    best.total++;
    if (best.room > 0) this.#candidates.sink();
    else this.#candidates.pop();
    return best.info;
  }

  finish(): void {
    for (const entry of this.#taken) {
      entry.total = entry.info.total;
      this.#leaf.push(entry);
    }
  }

  #candidate(info: NodeInfo): Candidate {
    const { serviceTasks, failures } = this.#demand;
    return {
      info,
      room: this.#demand.room(info),
      failures: failures.get(info) ?? 0,
      serviceTasks: serviceTasks.get(info) ?? 0,
      total: info.total,
    };
  }

  #takeFresh(): Candidate | undefined {
    for (let entry = this.#leaf.top; entry !== undefined; entry = this.#leaf.top) {
      if (entry.total !== entry.info.total) {
        entry.total = entry.info.total;
        this.#leaf.sink();
        continue;
      }
      this.#leaf.pop();
      this.#taken.push(entry);
      if (this.#marked.has(entry.info)) continue;
      const candidate = this.#candidate(entry.info);
      if (candidate.room > 0) return candidate;
    }
    return undefined;
  }
}
