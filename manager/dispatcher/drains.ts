/**
 * Tasks that are told to stop are stopped once every node that could send something new to them has loaded that they serve
 * no more. What that costs is one call of each node that is in their networks for each message that told of it.
 */
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { MAX_LOAD_MS } from "../../api/dispatcher.ts";
import { getLogger } from "@logtape/logtape";
import type { CoveyError } from "../../api/errors.ts";

const log = getLogger(["covey", "dispatcher"]);

/** Who is where, and knows what. */
export interface DrainSource {
  /** The nodes that are in a network. */
  nodes(networkID: string): Iterable<string>;
  isIn(networkID: string, nodeID: string): boolean;
  /** False for a node of which nobody has heard that it has loaded what it was told as of `index`, and which is there. */
  hasLoaded(nodeID: string, index: number): boolean;
}

/** All tasks of the same networks that ceased to serve at the same index. */
interface Drain {
  index: number;
  networks: readonly string[];
  missing: Set<string>;
  done: PromiseWithResolvers<void>;
  cancel: CancelTimer;
}

/** Waits for the nodes that have yet to load that a task serves no more; nothing of it outlives the leader's term. */
export class Drains {
  readonly #clock: Clock;
  readonly #source: DrainSource;
  /** Tasks that run and serve no more, and since which index. */
  readonly #leaving = new Map<string, number>();
  readonly #open = new Map<string, Drain>();
  /** Nodes that were waited for in vain: they count as down until they say something. */
  readonly #late = new Set<string>();

  constructor(clock: Clock, source: DrainSource) {
    this.#clock = clock;
    this.#source = source;
  }

  /** Notes that a task that runs serves no more as of `index`. */
  leaves(taskID: string, index: number): void {
    this.#leaving.set(taskID, index);
  }

  /** Notes that nothing runs any more, or serves again. */
  forget(taskID: string): void {
    this.#leaving.delete(taskID);
  }

  /**
   * Resolves when no node sends anything new to a task in `networks`: all have loaded that it serves no more, or are down, or have
   * been waited for. At once for a task that nobody has told to stop. Rejects when this manager leads no longer.
   */
  async drained(taskID: string, networks: readonly string[]): Promise<void> {
    const index = this.#leaving.get(taskID);
    if (index === undefined) return;
    const key = [index, ...[...networks].sort()].join(" ");
    let drain = this.#open.get(key);
    if (drain === undefined) {
      drain = this.#begin(index, networks);
      if (drain.missing.size === 0) return;
      this.#open.set(key, drain);
      drain.cancel = this.#clock.setTimer(MAX_LOAD_MS, () => this.#giveUp(key));
    }
    await drain.done.promise;
  }

  /** A node has said something of what it has loaded. */
  heard(nodeID: string): void {
    this.#late.delete(nodeID);
    this.changed(nodeID);
  }

  /** What is known of a node has changed, or where it is. */
  changed(nodeID: string): void {
    for (const [key, drain] of this.#open) {
      if (!drain.missing.has(nodeID) || this.#isBehind(nodeID, drain)) continue;
      drain.missing.delete(nodeID);
      if (drain.missing.size === 0) this.#end(key, drain);
    }
  }

  /** Ends all. */
  stop(reason: CoveyError): void {
    for (const { cancel, done } of this.#open.values()) {
      cancel();
      done.reject(reason);
    }
    this.#open.clear();
    this.#leaving.clear();
    this.#late.clear();
  }

  #begin(index: number, networks: readonly string[]): Drain {
    const drain = { index, networks, missing: new Set<string>(), done: Promise.withResolvers<void>() };
    for (const network of networks) {
      for (const nodeID of this.#source.nodes(network)) {
        if (this.#isBehind(nodeID, drain)) drain.missing.add(nodeID);
      }
    }
    return { ...drain, cancel: () => {} };
  }

  #isBehind(nodeID: string, { index, networks }: Pick<Drain, "index" | "networks">): boolean {
    return !this.#late.has(nodeID) && !this.#source.hasLoaded(nodeID, index) &&
      networks.some((network) => this.#source.isIn(network, nodeID));
  }

  #giveUp(key: string): void {
    const drain = this.#open.get(key)!;
    for (const nodeID of drain.missing) {
      this.#late.add(nodeID);
      log.warn(
        "Node {nodeID} has not loaded who serves in its networks within {limit} ms; nobody waits for it",
        {
          nodeID,
          limit: MAX_LOAD_MS,
        },
      );
    }
    // Others wait for them too.
    for (const nodeID of [...drain.missing]) this.changed(nodeID);
  }

  #end(key: string, { cancel, done }: Drain): void {
    cancel();
    this.#open.delete(key);
    done.resolve();
  }
}
