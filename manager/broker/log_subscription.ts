/**
 * The logs of a service or a task as one, for one client (SwarmKit's log broker): its nodes are asked, what they send is put in
 * order, and what cannot be had is named. Nothing is read ahead of the client but one push of each node.
 *
 *     nodes' pushes ---> LogMerge ---> next(), as often as the client reads
 *       ^                    |
 *       '--- answered when what came before has been taken
 *
 * Without `follow` it is over when all nodes have sent what they had, and then names those that did not. With `follow` it
 * goes on: a node that comes back goes on where it was, tasks that are made join in, and a gap is shown where something is
 * missing.
 */
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { LogMerge } from "../../api/log_merge.ts";
import {
  entryBytes,
  type LogEntry,
  type LogPush,
  type LogStream,
  logTime,
  MAX_LOG_ERROR_LENGTH,
} from "../../api/logs.ts";
import type { Task } from "../../api/task.ts";
import type { AskTable, Reach } from "../dispatcher/mod.ts";
import type { Commit, Store } from "../store/store.ts";
import { NodeSource, type SourceEvents } from "./node_source.ts";

/** Whose logs. */
export type LogSelection = { serviceID: string } | { taskID: string };

/** What of them. */
export interface LogOptions {
  streams: readonly LogStream[];
  follow: boolean;
  /** Entries from the end, of all tasks together; all if undefined. */
  tail?: number | undefined;
  /** As `LogEntry.Time`. */
  since?: string | undefined;
}

/** An entry, and whose it is. */
export interface ShownEntry extends LogEntry {
  NodeID: string;
  ServiceID: string;
}

/** How long the others wait for a node that says nothing before they are shown without it: out of order is better than not at all. */
const MAX_WAIT_FOR_NODE_MS = 5_000;
/** Bytes that are handed over at once. */
const MAX_STEP_BYTES = 64 * 1024;
/** Reasons that are kept; beyond it they are counted. */
const MAX_REASONS = 100;

/** What a subscription works with. */
export interface SubscriptionContext {
  id: string;
  store: Store;
  asks: AskTable;
  clock: Clock;
  /** Throws `resource_exhausted`, retryable, where `bytes` more are too much for this manager. */
  checkBudget(bytes: number): void;
  onClose(): void;
}

/** One client's. */
export class LogSubscription implements SourceEvents {
  readonly #context: SubscriptionContext;
  readonly #selection: LogSelection;
  readonly #options: LogOptions;
  readonly #merge: LogMerge;
  readonly #sources = new Map<string, NodeSource>();
  readonly #reasons: string[] = [];
  #moreReasons = 0;
  #failure: CoveyError | undefined;
  #wake = Promise.withResolvers<void>();
  #unsubscribe = () => {};
  #closed = false;

  constructor(context: SubscriptionContext, selection: LogSelection, options: LogOptions) {
    this.#context = context;
    this.#selection = selection;
    this.#options = options;
    this.#merge = new LogMerge(options.tail);
  }

  /** Asks all nodes. Throws as {@linkcode AskTable.open} does where this manager does not lead. */
  open(): void {
    const { store } = this.#context, { follow } = this.#options;
    const tasks = this.#tasks().toSorted((a, b) => a.CreatedAt < b.CreatedAt ? -1 : 1);
    for (const task of tasks) this.#add(task);
    for (const source of this.#sources.values()) this.#open(source);
    if (follow) this.#unsubscribe = store.subscribe((commit) => this.#apply(commit), "log subscription");
    else {
      for (const { ID, NodeID } of tasks) if (NodeID === "") this.#miss(`task ${ID} has not been scheduled`);
    }
  }

  /** Bytes that wait here. */
  get bytes(): number {
    let bytes = this.#merge.bytes;
    for (const { heldBytes } of this.#sources.values()) bytes += heldBytes;
    return bytes;
  }

  /**
   * The next entries, at least one; undefined when there are no more. Throws in the end, in SwarmKit's words, if something is
   * missing, and whenever this manager stops to lead.
   */
  async next(): Promise<ShownEntry[] | undefined> {
    while (true) {
      if (this.#closed) return undefined;
      if (this.#failure) throw this.#failure;
      this.#wake = Promise.withResolvers();
      const entries = this.#take();
      if (entries.length > 0) return entries;
      if (this.#isOver) return this.#end();
      await this.#news();
    }
  }

  /** Nobody reads it any more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Ends it: nobody is asked any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    for (const source of this.#sources.values()) source.close();
    this.#wake.resolve();
    this.#context.onClose();
  }

  check({ nodeID }: NodeSource, push: LogPush): LogPush {
    const { store } = this.#context;
    const entries = (push.Entries ?? []).filter(({ TaskID }) => {
      const task = store.get("tasks", TaskID);
      if (task !== undefined && task.NodeID !== nodeID) {
        const message = `Cannot take logs: task ${TaskID} is not assigned to node ${nodeID}`;
        throw new CoveyError("permission_denied", message);
      }
      return task !== undefined && this.#isSelected(task);
    });
    return { ...push, Entries: entries };
  }

  checkBudget(bytes: number): void {
    this.#context.checkBudget(bytes);
  }

  hasRoom({ nodeID }: NodeSource): boolean {
    return this.#merge.isEmpty(nodeID);
  }

  took(source: NodeSource, { Entries = [], CaughtUp, Done, Errors = [] }: LogPush): void {
    const { nodeID } = source;
    this.#merge.push(nodeID, Entries.map((entry) => this.#shown(entry)));
    if (CaughtUp || Done) this.#merge.caughtUp(nodeID);
    if (Done) source.done = true;
    for (const error of Errors) this.#miss(error, source);
    this.#wake.resolve();
  }

  reached(source: NodeSource, reach: Reach, before: Reach | undefined): void {
    if (reach === "connected" || source.done) return;
    const { nodeID } = source;
    const problem = reach === "unable"
      ? "cannot be asked for logs: its agent is of an older version"
      : before === undefined
      ? "is not available"
      : "disconnected unexpectedly";
    if (!this.#options.follow) source.done = true;
    const later = this.#options.follow ? "; what is printed there is shown once it is back" : "";
    this.#miss(`node ${nodeID} ${problem}${later}`, source);
    this.#merge.caughtUp(nodeID);
    this.#wake.resolve();
  }

  ended(reason: CoveyError): void {
    this.#failure ??= reason;
    this.#wake.resolve();
  }

  #tasks(): Task[] {
    const { store } = this.#context;
    if ("serviceID" in this.#selection) return store.find("tasks", "serviceID", this.#selection.serviceID);
    const task = store.get("tasks", this.#selection.taskID);
    return task ? [task] : [];
  }

  #isSelected({ ID, ServiceID }: Task): boolean {
    const selection = this.#selection;
    return "serviceID" in selection ? ServiceID === selection.serviceID : ID === selection.taskID;
  }

  /** The source that the task is added to, if it was not in one. */
  #add({ ID, NodeID }: Task): NodeSource | undefined {
    if (NodeID === "") return undefined;
    let source = this.#sources.get(NodeID);
    if (source === undefined) {
      const { streams, follow, tail, since } = this.#options;
      const terms = {
        ID: this.#context.id,
        Streams: [...streams],
        Follow: follow,
        ...(tail !== undefined && { Tail: tail }),
        ...(since !== undefined && { Since: since }),
      };
      source = new NodeSource(NodeID, terms, this);
      this.#sources.set(NodeID, source);
      this.#merge.add(NodeID);
    }
    if (source.taskIDs.has(ID)) return undefined;
    source.taskIDs.add(ID);
    return source;
  }

  #open(source: NodeSource): void {
    try {
      source.open(this.#context.asks);
    } catch (thrown) {
      const error = CoveyError.from(thrown);
      if (error.code !== "resource_exhausted") throw error;
      source.done = true;
      this.#merge.caughtUp(source.nodeID);
      this.#miss(error.message, source);
    }
  }

  /** Follows which tasks there are. */
  #apply({ changes }: Commit): void {
    const changed = new Set<NodeSource>();
    for (const change of changes) {
      if (change.table !== "tasks" || !this.#isSelected(change.object)) continue;
      const { ID, NodeID } = change.object, isNew = !this.#sources.has(NodeID);
      if (change.action === "remove") {
        const source = this.#sources.get(NodeID);
        if (source?.taskIDs.delete(ID)) changed.add(source);
        continue;
      }
      const source = this.#add(change.object);
      if (source === undefined) continue;
      if (isNew) this.#open(source);
      else changed.add(source);
    }
    for (const source of changed) this.#refresh(source);
  }

  #refresh(source: NodeSource): void {
    if (source.taskIDs.size > 0) return source.changed();
    this.#sources.delete(source.nodeID);
    this.#merge.remove(source.nodeID);
    source.close();
  }

  /** Notes what is missing: in the end, or where somebody follows, as a gap in the log. */
  #miss(reason: string, source?: NodeSource): void {
    if (this.#options.follow && source) return this.#gap(source, reason);
    if (this.#reasons.length < MAX_REASONS) this.#reasons.push(reason.slice(0, MAX_LOG_ERROR_LENGTH));
    else this.#moreReasons++;
  }

  #gap({ nodeID, taskIDs }: NodeSource, text: string): void {
    const [TaskID] = taskIDs;
    if (TaskID === undefined) return;
    this.#merge.push(nodeID, [gapEntry(TaskID, logTime(this.#context.clock.now()), text, this.#gapStream)]);
  }

  /** A gap is shown to whoever reads, whichever stream that is. */
  get #gapStream(): LogStream {
    return this.#options.streams.includes("stderr") ? "stderr" : "stdout";
  }

  #shown(entry: LogEntry): LogEntry {
    const { Lost, TaskID, Time } = entry;
    if (Lost === undefined) return entry;
    const what = Lost === 0 ? "something is" : `${Lost} bytes are`;
    return gapEntry(
      TaskID,
      Time,
      `${what} missing here: the log was longer than what is kept`,
      this.#gapStream,
    );
  }

  #take(): ShownEntry[] {
    const entries: ShownEntry[] = [];
    for (let bytes = 0; bytes < MAX_STEP_BYTES;) {
      const entry = this.#merge.take();
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      const { NodeID = "", ServiceID = "" } = this.#context.store.get("tasks", entry.TaskID) ?? {};
      entries.push({ ...entry, NodeID, ServiceID });
    }
    for (const source of this.#sources.values()) if (this.hasRoom(source)) source.roomMade();
    return entries;
  }

  get #isOver(): boolean {
    return !this.#options.follow && this.#merge.size === 0 &&
      [...this.#sources.values()].every(({ done }) => done);
  }

  #end(): undefined {
    if (this.#reasons.length === 0) return undefined;
    const more = this.#moreReasons > 0 ? [`and ${this.#moreReasons} more`] : [];
    const reasons = [...this.#reasons, ...more].join(", ");
    throw new CoveyError(
      "unknown",
      "warning: incomplete log stream. some logs could not be retrieved for the following reasons: " +
        reasons,
    );
  }

  /** Resolves when something has come, or some nodes have kept the others waiting for too long. */
  async #news(): Promise<void> {
    let cancel: CancelTimer = () => {};
    if (!this.#merge.missing().next().done) {
      cancel = this.#context.clock.setTimer(MAX_WAIT_FOR_NODE_MS, () => {
        for (const nodeID of [...this.#merge.missing()]) this.#merge.caughtUp(nodeID);
        this.#wake.resolve();
      });
    }
    await this.#wake.promise;
    cancel();
  }
}

function gapEntry(TaskID: string, Time: string, text: string, Stream: LogStream): LogEntry {
  return { TaskID, Time, Stream, Data: new TextEncoder().encode(`covey: gap: ${text}\n`) };
}
