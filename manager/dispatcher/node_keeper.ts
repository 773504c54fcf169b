/** Writes what the dispatcher learns of nodes (ready, down, unknown), and gives up the tasks of nodes long gone. */
import { DAY_MS } from "../../api/duration.ts";
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Node, NodeDescription, NodeState } from "../../api/node.ts";
import { compareStates } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";
import type { Commit, Store } from "../store/store.ts";
import { isDeepStrictEqual } from "node:util";

/** A node that was down for this long has its tasks orphaned (SwarmKit `defaultNodeDownPeriod`). */
const ORPHAN_AFTER_MS = DAY_MS;

/** Owner of `Node.Status` and `Node.Description`. */
export class NodeKeeper {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #onError: (error: CoveyError) => void;
  readonly #orphanTimers = new Map<string, CancelTimer>();

  /** `onError` hears of writes that failed although nobody waits for them. */
  constructor(store: Store, clock: Clock, onError: (error: CoveyError) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onError = onError;
  }

  /** Starts the orphan timers of nodes that are down already. */
  start(): void {
    for (const node of this.#store.all("nodes")) this.#watch(node);
  }

  /** Stops all timers. */
  stop(): void {
    for (const cancel of this.#orphanTimers.values()) cancel();
    this.#orphanTimers.clear();
  }

  /** Follows node states, whoever wrote them. */
  apply(commit: Commit): void {
    for (const change of commit.changes) {
      if (change.table !== "nodes") continue;
      if (change.action === "remove") this.#unwatch(change.object.ID);
      else this.#watch(change.object);
    }
  }

  /** Commits that a node is there, with its description. Throws `not_found`. Writes nothing if nothing changed. */
  ready(nodeID: string, description: NodeDescription, addr: string): Promise<void> {
    return this.#store.update((tx) => {
      const node = tx.get("nodes", nodeID);
      if (!node) {
        throw new CoveyError("not_found", `Cannot open a session: node ${nodeID} is not in the cluster`);
      }
      const same = node.Status.State === "ready" && node.Status.Addr === addr &&
        isDeepStrictEqual(node.Description, description);
      if (same) return;
      tx.update("nodes", { ...node, Description: description, Status: { State: "ready", Addr: addr } });
    });
  }

  /** Commits that a node was not heard from in time. */
  async down(nodeID: string, message: string): Promise<void> {
    await this.#setStates([nodeID], "down", message);
  }

  /** Commits that nothing is known of `nodeIDs` yet: this manager has just become the leader. */
  async unknown(nodeIDs: string[]): Promise<void> {
    await this.#setStates(nodeIDs, "unknown", "Node moved to unknown: the leader changed");
  }

  async #setStates(nodeIDs: string[], state: NodeState, message: string): Promise<void> {
    if (nodeIDs.length === 0) return;
    try {
      await this.#store.batch(nodeIDs, (tx, id) => {
        const node = tx.get("nodes", id);
        if (!node || node.Status.State === state || node.Status.State === "down") return;
        tx.update("nodes", { ...node, Status: { ...node.Status, State: state, Message: message } });
      });
    } catch (thrown) {
      this.#onError(CoveyError.from(thrown));
    }
  }

  #watch(node: Node): void {
    if (node.Status.State !== "down") return this.#unwatch(node.ID);
    if (this.#orphanTimers.has(node.ID)) return;
    const cancel = this.#clock.setTimer(ORPHAN_AFTER_MS, () => {
      this.#orphanTimers.delete(node.ID);
      void this.#orphan(node.ID);
    });
    this.#orphanTimers.set(node.ID, cancel);
  }

  #unwatch(nodeID: string): void {
    this.#orphanTimers.get(nodeID)?.();
    this.#orphanTimers.delete(nodeID);
  }

  async #orphan(nodeID: string): Promise<void> {
    try {
      const tasks = this.#store.find("tasks", "nodeID", nodeID).filter(canBeOrphaned);
      await this.#store.batch(tasks, (tx, { ID }) => {
        const task = tx.get("tasks", ID);
        if (!task || !canBeOrphaned(task)) return;
        const Message = "Task orphaned: its node has been down for 24 hours";
        tx.update("tasks", {
          ...task,
          Status: { ...task.Status, State: "orphaned", Timestamp: timestamp(this.#clock), Message },
        });
      });
    } catch (thrown) {
      this.#onError(CoveyError.from(thrown));
    }
  }
}

/** A global service's task (slot 0) stays its node's: nobody else can take its place, and an outage does not stop it. */
function canBeOrphaned(task: Task): boolean {
  return task.Slot !== 0 && compareStates(task.Status.State, "assigned") >= 0 &&
    compareStates(task.Status.State, "running") <= 0;
}
