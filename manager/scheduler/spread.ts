/**
 * Chooses nodes for many equal tasks: evenly over the branches of the spread preferences, then over the
 * nodes.
 */
import type { Node } from "../../api/node.ts";
import type { PlacementPreference } from "../../api/service.ts";
import { labelReader } from "../placement/label.ts";
import { Heap } from "./heap.ts";
import type { NodeInfo } from "./node_info.ts";

/**
 * A node that can take `room` more of the tasks in question; with 0, it only counts for the balance of
 * branches.
 */
export interface Candidate {
  info: NodeInfo;
  room: number;
  /** Recent failures of these tasks there, if they matter. */
  failures: number;
  /** Tasks of the same service, and of all services, on the node; counted up as tasks are placed. */
  serviceTasks: number;
  total: number;
}

/** Hands out places one after another. */
export interface Placer {
  /** The best node for the next task; undefined when nothing has room. */
  next(): NodeInfo | undefined;
}

function better(a: Candidate, b: Candidate): boolean {
  if (a.failures !== b.failures) return a.failures < b.failures;
  if (a.serviceTasks !== b.serviceTasks) return a.serviceTasks < b.serviceTasks;
  return a.total < b.total;
}

class Leaf implements Placer {
  #heap: Heap<Candidate>;

  constructor(candidates: Candidate[]) {
    this.#heap = new Heap(candidates.filter((candidate) => candidate.room > 0), better);
  }

  next(): NodeInfo | undefined {
    const best = this.#heap.top;
    if (best === undefined) return undefined;
    best.room--;
    best.serviceTasks++;
    best.total++;
    if (best.room > 0) this.#heap.sink();
    else this.#heap.pop();
    return best.info;
  }
}

interface Branch {
  tasks: number;
  placer: Placer;
}

class Fork implements Placer {
  #heap: Heap<Branch>;

  constructor(branches: Branch[]) {
    this.#heap = new Heap(branches, (a, b) => a.tasks < b.tasks);
  }

  next(): NodeInfo | undefined {
    while (this.#heap.top) {
      const branch = this.#heap.top;
      const info = branch.placer.next();
      if (info) {
        branch.tasks++;
        this.#heap.sink();
        return info;
      }
      this.#heap.pop();
    }
    return undefined;
  }
}

/**
 * A placer over `candidates`; every preference adds a level of branches, a missing label being a branch of
 * its own.
 */
export function createPlacer(
  candidates: Candidate[],
  preferences: readonly PlacementPreference[] = [],
): Placer {
  const readers = preferences.map((preference) => labelReader(preference.Spread.SpreadDescriptor))
    .filter((reader) => reader !== undefined);
  return placerFor(candidates, readers);
}

function placerFor(candidates: Candidate[], readers: ((node: Node) => string)[]): Placer {
  const [reader, ...rest] = readers;
  if (reader === undefined) return new Leaf(candidates);
  const groups = Map.groupBy(candidates, (candidate) => reader(candidate.info.node));
  return new Fork(
    [...groups.values()].map((group) => ({
      tasks: group.reduce((sum, candidate) => sum + candidate.serviceTasks, 0),
      placer: placerFor(group, rest),
    })),
  );
}
