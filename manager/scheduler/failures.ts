/** Where tasks of a service's version failed lately. */
import type { NodeInfo } from "./node_info.ts";

/**
 * Failures of one service version within the window from which on other nodes are tried first (SwarmKit
 * `maxFailures`).
 */
const MAX_FAILURES = 5;
/** Milliseconds for which a failure is remembered (SwarmKit `monitorFailures`). */
const FAILURE_WINDOW_MS = 5 * 60_000;
/** Remembered failures per node and service version: enough to order the nodes, however fast a task fails. */
const MAX_REMEMBERED_FAILURES = 32;

/** Remembers by group of tasks, as few groups fail at a time, whatever the number of nodes. */
export class Failures {
  /** Monotonic times. */
  readonly #times = new Map<string, Map<NodeInfo, number[]>>();
  #sweptMs = 0;

  /** A task of `group` failed on the node. */
  add(group: string, info: NodeInfo, nowMs: number): void {
    if (nowMs - this.#sweptMs > FAILURE_WINDOW_MS) this.#sweep(nowMs);
    let nodes = this.#times.get(group);
    if (nodes === undefined) this.#times.set(group, nodes = new Map());
    const times = nodes.get(info) ?? [];
    times.push(nowMs);
    if (times.length > MAX_REMEMBERED_FAILURES) times.shift();
    nodes.set(info, times);
  }

  /** Recent failures of `group` by node, of the nodes where they are so many that they matter. */
  of(group: string, nowMs: number): Map<NodeInfo, number> {
    const many = new Map<NodeInfo, number>();
    for (const [info, times] of this.#times.get(group) ?? []) {
      const recent = times.filter((at) => at >= nowMs - FAILURE_WINDOW_MS).length;
      if (recent >= MAX_FAILURES) many.set(info, recent);
    }
    return many;
  }

  /** Forgets a node that is gone. */
  forget(info: NodeInfo): void {
    for (const nodes of this.#times.values()) nodes.delete(info);
  }

  clear(): void {
    this.#times.clear();
  }

  #sweep(nowMs: number): void {
    this.#sweptMs = nowMs;
    for (const [group, nodes] of this.#times) {
      for (const [info, times] of nodes) {
        if (times.at(-1)! < nowMs - FAILURE_WINDOW_MS) nodes.delete(info);
      }
      if (nodes.size === 0) this.#times.delete(group);
    }
  }
}
