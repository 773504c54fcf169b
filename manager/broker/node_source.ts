/** One node's part in a subscription: what it is asked, and what comes of it. */
import type { CoveyError } from "../../api/errors.ts";
import { entryBytes, type LogAsk, type LogPush, type LogPushAnswer, MAX_ASK_TASKS } from "../../api/logs.ts";
import { orAbort } from "../../api/or_abort.ts";
import type { Asker, AskTable, OpenAsk, Reach } from "../dispatcher/mod.ts";

/** What a source tells the subscription that it is a part of. */
export interface SourceEvents {
  /** Checks a push; throws to refuse it. Returns what is to be taken of it. */
  check(source: NodeSource, push: LogPush): LogPush;
  /** Throws `resource_exhausted`, retryable, where `bytes` more are too much. */
  checkBudget(bytes: number): void;
  /** Whether there is room for the next push of the source. */
  hasRoom(source: NodeSource): boolean;
  took(source: NodeSource, push: LogPush): void;
  reached(source: NodeSource, reach: Reach, before: Reach | undefined): void;
  ended(reason: CoveyError): void;
}

/** What the node is asked besides its tasks. */
export type AskTerms = Omit<LogAsk, "TaskIDs" | "After" | "Kind">;

/** A node whose tasks' logs are wanted. */
export class NodeSource implements Asker {
  readonly nodeID: string;
  /** In the order in which they were made. */
  readonly taskIDs = new Set<string>();
  /** All that it will ever send has come. */
  done = false;
  /** Bytes that have come and wait until there is room for them. */
  heldBytes = 0;
  readonly #terms: AskTerms;
  readonly #events: SourceEvents;
  #open: OpenAsk | undefined;
  #reach: Reach | undefined;
  #run = "";
  #seq = 0;
  #after: string | undefined;
  #room = Promise.withResolvers<void>();
  #closed = false;

  constructor(nodeID: string, terms: AskTerms, events: SourceEvents) {
    this.nodeID = nodeID;
    this.#terms = terms;
    this.#events = events;
  }

  /** Throws as {@linkcode AskTable.open} does. */
  open(asks: AskTable): void {
    this.#open = asks.open(this.nodeID, this);
  }

  /** More or fewer tasks are wanted. */
  changed(): void {
    this.#open?.changed();
  }

  close(): void {
    this.#closed = true;
    this.#open?.close();
    this.#room.resolve();
  }

  /** What it had sent was taken. */
  roomMade(): void {
    this.#room.resolve();
  }

  ask(): LogAsk {
    const { Tail, ...terms } = this.#terms, TaskIDs = [...this.taskIDs].slice(-MAX_ASK_TASKS);
    const from = this.#after !== undefined ? { After: this.#after } : Tail !== undefined ? { Tail } : {};
    return { Kind: "logs", ...terms, TaskIDs, ...from };
  }

  async take(push: LogPush, signal: AbortSignal): Promise<LogPushAnswer> {
    if (this.#closed) return { Over: true };
    const wanted = this.#events.check(this, push);
    const bytes = pushBytes(wanted);
    this.#events.checkBudget(bytes);
    this.heldBytes += bytes;
    try {
      while (!this.#closed && !this.#events.hasRoom(this)) {
        this.#room = Promise.withResolvers();
        await orAbort(this.#room.promise, signal);
      }
    } finally {
      this.heldBytes -= bytes;
    }
    if (this.#closed) return { Over: true };
    // One whose answer was lost comes again.
    const isNew = push.Run !== this.#run || push.Seq > this.#seq;
    if (isNew) {
      this.#run = push.Run;
      this.#seq = push.Seq;
      this.#after = wanted.Entries?.at(-1)?.Time ?? this.#after;
      this.#events.took(this, wanted);
    }
    return {};
  }

  reached(reach: Reach): void {
    const before = this.#reach;
    this.#reach = reach;
    if (reach !== before) this.#events.reached(this, reach, before);
  }

  ended(reason: CoveyError): void {
    this.#events.ended(reason);
  }
}

function pushBytes({ Entries = [] }: LogPush): number {
  return Entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
}
