/** Writes what the dispatcher learns of nodes (ready, down, unknown), and gives up the tasks of nodes long gone. */
import { DAY_MS } from "../../api/duration.ts";
import type { CancelTimer } from "../../api/clock.ts";
import { timestamp } from "../../api/clock.ts";
import { getLogger } from "@logtape/logtape";
import { CoveyError } from "../../api/errors.ts";
import type { Node, NodeDescription, NodeState, NodeStatus } from "../../api/node.ts";
import { compareStates } from "../../api/task_state.ts";
import { isNodeBound, type Task } from "../../api/task.ts";
import { type ComponentOptions, LoopComponent } from "../leader/commit_loop.ts";
import type { Commit } from "../store/store.ts";
import { isDeepStrictEqual } from "node:util";

/** A node that was down for this long has its tasks orphaned (SwarmKit `defaultNodeDownPeriod`). */
const ORPHAN_AFTER_MS = DAY_MS;
/** A copy of a node that was not heard from for this long is gone: its agent tries again each minute. */
const TWIN_GONE_MS = 10 * 60_000;

const log = getLogger(["covey", "dispatcher"]);

/** What is to be written of a node, until that is committed or the node says otherwise. */
interface Intent {
  state: NodeState;
  message: string;
}

/** Owner of `Node.Status` and `Node.Description`. */
export class NodeKeeper extends LoopComponent {
  readonly #orphanTimers = new Map<string, CancelTimer>();
  /** What is shown of nodes that there is a copy of, and until when. */
  readonly #twins = new Map<string, { message: string; cancel: CancelTimer }>();
  readonly #intents = new Map<string, Intent>();
  readonly #states = this.list("node");
  /** Nodes whose tasks are to be given up. */
  readonly #orphans = this.list("node");

  constructor(options: ComponentOptions) {
    super("node keeper", options);
  }

  /** Stops all timers. */
  override async stop(): Promise<void> {
    for (const cancel of this.#orphanTimers.values()) cancel();
    this.#orphanTimers.clear();
    for (const { cancel } of this.#twins.values()) cancel();
    this.#twins.clear();
    this.#intents.clear();
    await super.stop();
  }

  /** Commits that a node is there, with its description. Throws `not_found`. Writes nothing if nothing changed. */
  ready(nodeID: string, description: NodeDescription, addr: string): Promise<void> {
    this.#intents.delete(nodeID);
    return this.options.store.update((tx) => {
      const node = tx.get("nodes", nodeID);
      if (!node) {
        throw new CoveyError("not_found", `Cannot open a session: node ${nodeID} is not in the cluster`);
      }
      const message = this.#twins.get(nodeID)?.message;
      const Status: NodeStatus = { State: "ready", Addr: addr, ...(message && { Message: message }) };
      if (isDeepStrictEqual(node.Status, Status) && isDeepStrictEqual(node.Description, description)) return;
      tx.update("nodes", { ...node, Description: description, Status });
    });
  }

  /** Has `message` shown on a node that is there, until nothing was heard of its copy for some minutes. */
  twin(nodeID: string, message: string): void {
    const before = this.#twins.get(nodeID);
    before?.cancel();
    const cancel = this.options.clock.setTimer(TWIN_GONE_MS, () => {
      this.#twins.delete(nodeID);
      if (this.options.store.get("nodes", nodeID)?.Status.State === "ready") {
        this.#intend(nodeID, { state: "ready", message: "" });
      }
    });
    this.#twins.set(nodeID, { message, cancel });
    if (before?.message === message) return;
    log.warn("Node {nodeID}: {message}", { nodeID, message });
    this.#intend(nodeID, { state: "ready", message });
  }

  /** Has it committed that a node was not heard from in time, however often that is refused. */
  down(nodeID: string, message: string): void {
    this.#intend(nodeID, { state: "down", message });
  }

  /** The same, that nothing is known of `nodeIDs` yet: this manager has just become the leader. */
  unknown(nodeIDs: string[]): void {
    const intent: Intent = { state: "unknown", message: "Node moved to unknown: the leader changed" };
    for (const id of nodeIDs) this.#intend(id, intent);
  }

  #intend(nodeID: string, intent: Intent): void {
    this.#intents.set(nodeID, intent);
    this.#states.add(nodeID);
    this.wake();
  }

  protected override resync(): void {
    for (const node of this.options.store.all("nodes")) this.#watch(node);
    for (const nodeID of this.#intents.keys()) this.#states.add(nodeID);
  }

  /** Follows node states, whoever wrote them. */
  protected override onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table !== "nodes") continue;
      if (change.action === "remove") this.#unwatch(change.object.ID);
      else this.#watch(change.object);
    }
    return false;
  }

  protected override async run(): Promise<void> {
    await this.#states.commit(this.options.store, (tx, id) => {
      const node = tx.get("nodes", id), intent = this.#intents.get(id);
      if (!node || !intent || !applies(intent, node.Status)) return intent;
      const { Message: _, ...rest } = node.Status, { state: State, message } = intent;
      tx.update("nodes", { ...node, Status: { ...rest, State, ...(message && { Message: message }) } });
      return intent;
    }, (written, id) => {
      if (this.#intents.get(id) === written) this.#intents.delete(id);
    });
    await this.#orphans.each((id) => this.#orphan(id));
  }

  #watch(node: Node): void {
    if (node.Status.State !== "down") return this.#unwatch(node.ID);
    if (this.#orphanTimers.has(node.ID)) return;
    const cancel = this.options.clock.setTimer(ORPHAN_AFTER_MS, () => {
      this.#orphanTimers.delete(node.ID);
      this.#orphans.add(node.ID);
      this.wake();
    });
    this.#orphanTimers.set(node.ID, cancel);
  }

  #unwatch(nodeID: string): void {
    this.#orphans.delete(nodeID);
    this.#orphanTimers.get(nodeID)?.();
    this.#orphanTimers.delete(nodeID);
  }

  async #orphan(nodeID: string): Promise<void> {
    const { store, clock } = this.options;
    const tasks = store.find("tasks", "nodeID", nodeID).filter(canBeOrphaned);
    await store.batch(tasks, (tx, { ID }) => {
      const task = tx.get("tasks", ID);
      if (!task || !canBeOrphaned(task)) return;
      const Message = "Task orphaned: its node has been down for 24 hours";
      tx.update("tasks", {
        ...task,
        Status: { ...task.Status, State: "orphaned", Timestamp: timestamp(clock), Message },
      });
    });
  }
}

/** Words are for a node that is there; a node that is down was heard of last when that was noted. */
function applies({ state, message }: Intent, { State, Message = "" }: NodeStatus): boolean {
  return state === "ready" ? State === state && Message !== message : State !== state && State !== "down";
}

/** A task that is bound to its node stays there: nobody else can take its place, and an outage does not stop it. */
function canBeOrphaned(task: Task): boolean {
  return !isNodeBound(task) && compareStates(task.Status.State, "assigned") >= 0 &&
    compareStates(task.Status.State, "running") <= 0;
}
