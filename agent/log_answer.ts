/**
 * Answers one ask for logs: reads those of its tasks, puts them in order, and sends them step by step. What was sent and not
 * yet acknowledged is kept while there is no session, and sent again in the next one, with the same number.
 *
 *     feeds (one a task) ---> LogMerge ---> a push, one at a time ---> acknowledged ---> the next
 *            ^                                                             |
 *            '--- as long as this is not taken, nobody reads on -----------'
 */
import { Backoff, type BackoffLimits } from "../api/backoff.ts";
import { type Clock, sleep } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { LogMerge } from "../api/log_merge.ts";
import {
  entryBytes,
  type LogAsk,
  type LogEntry,
  type LogPush,
  type LogPushAnswer,
  MAX_ASK_TASKS,
  MAX_PUSH_BYTES,
  MAX_PUSH_ENTRIES,
} from "../api/logs.ts";
import { newID, type Random } from "../api/random.ts";
import { feedLog, type Tasks } from "./log_feed.ts";

/** Bytes of one task that are read ahead. */
const MAX_FEED_BYTES = 64 * 1024;
/** Before a push that the manager had no room for is sent again. */
const RETRY_PAUSE: BackoffLimits = { minMs: 100, maxMs: 5_000 };
/** Reasons that one push tells of. */
const MAX_ERRORS = 10;

/** Sends a push in the present session, which names itself. */
export type SendLogs = (push: Omit<LogPush, "SessionID">) => Promise<LogPushAnswer>;

/** What an answer works with. */
export interface AnswerOptions {
  clock: Clock;
  random: Random;
  tasks: Tasks;
  /** How to send; rejects when `signal` aborts. Waits while there is no session. */
  sender: (signal: AbortSignal) => Promise<SendLogs>;
}

/** The answer to one ask, until it is over. */
export class LogAnswer {
  readonly #options: AnswerOptions;
  readonly #ask: LogAsk;
  readonly #merge: LogMerge;
  readonly #feeds = new Map<string, Feed>();
  readonly #abort = new AbortController();
  readonly #run: string;
  #errors: string[] = [];
  /** Taken, but too much for the last push. */
  #spare: LogEntry | undefined;
  /** Entries of the beginning that are yet to be sent; undefined while there may be more. */
  #beginning: number | undefined;
  #saidCaughtUp = false;
  #wake = Promise.withResolvers<void>();
  readonly done: Promise<void>;

  constructor(ask: LogAsk, options: AnswerOptions) {
    this.#options = options;
    this.#ask = ask;
    this.#merge = new LogMerge(ask.Tail);
    this.#run = newID(options.random);
    this.update(ask);
    this.done = this.#serve();
  }

  /** Takes over which tasks are wanted now. */
  update({ TaskIDs }: LogAsk): void {
    const wanted = new Set(TaskIDs.slice(0, MAX_ASK_TASKS));
    for (const [id, feed] of this.#feeds) if (!wanted.has(id)) this.#leave(id, feed);
    for (const id of wanted) if (!this.#feeds.has(id)) this.#feed(id);
  }

  /** Ends it: nobody wants it any more, or the agent stops. */
  async stop(): Promise<void> {
    this.#abort.abort(new CoveyError("canceled", "Cannot go on with a log: nobody wants it any more"));
    this.#wake.resolve();
    await this.done;
  }

  #leave(id: string, { abort }: Feed): void {
    abort.abort();
    this.#feeds.delete(id);
    this.#merge.remove(id);
  }

  #feed(id: string): void {
    const abort = new AbortController(),
      feed: Feed = { abort, room: undefined, ended: false, done: undefined };
    this.#feeds.set(id, feed);
    this.#merge.add(id);
    const target = {
      take: (entry: LogEntry) => {
        this.#merge.push(id, [entry]);
        this.#wake.resolve();
        if (this.#merge.bytesOf(id) < MAX_FEED_BYTES || abort.signal.aborted) return undefined;
        feed.room = Promise.withResolvers();
        return feed.room.promise;
      },
      caughtUp: () => {
        this.#merge.caughtUp(id);
        this.#wake.resolve();
      },
      ended: (error?: string) => {
        feed.ended = true;
        this.#merge.caughtUp(id);
        if (error !== undefined && this.#errors.length < MAX_ERRORS) this.#errors.push(error);
        this.#wake.resolve();
      },
    };
    abort.signal.addEventListener("abort", () => feed.room?.resolve());
    feed.done = feedLog(this.#options, id, this.#ask, target, abort.signal);
  }

  async #serve(): Promise<void> {
    try {
      for (let Seq = 1;; Seq++) {
        const step = await this.#gather();
        const push = { AskID: this.#ask.ID, Run: this.#run, Seq, ...step };
        if ((await this.#deliver(push)).Over || step.Done) break;
      }
    } catch {
      // Nobody wants it any more.
    }
    const running = [...this.#feeds.values()];
    for (const [id, feed] of this.#feeds) this.#leave(id, feed);
    await Promise.all(running.map(({ done }) => done));
  }

  /** The next that there is to say; waits for it. */
  async #gather(): Promise<Pick<LogPush, "Entries" | "CaughtUp" | "Done" | "Errors">> {
    while (true) {
      this.#abort.signal.throwIfAborted();
      this.#wake = Promise.withResolvers();
      const entries = this.#take();
      const caughtUp = this.#isCaughtUp(entries.length);
      const over = this.#merge.size === 0 && this.#spare === undefined && !this.#ask.Follow &&
        [...this.#feeds.values()].every(({ ended }) => ended);
      if (entries.length > 0 || caughtUp || over || this.#errors.length > 0) {
        const errors = this.#errors;
        this.#errors = [];
        return {
          ...(entries.length > 0 && { Entries: entries }),
          ...(caughtUp && { CaughtUp: true }),
          ...(over && { Done: true }),
          ...(errors.length > 0 && { Errors: errors }),
        };
      }
      await this.#wake.promise;
    }
  }

  #take(): LogEntry[] {
    const entries: LogEntry[] = [];
    for (let bytes = 0; entries.length < MAX_PUSH_ENTRIES;) {
      const entry = this.#spare ?? this.#merge.take();
      this.#spare = undefined;
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > MAX_PUSH_BYTES && entries.length > 0) {
        this.#spare = entry;
        break;
      }
      entries.push(entry);
    }
    for (const [id, feed] of this.#feeds) {
      if (feed.room === undefined || this.#merge.bytesOf(id) >= MAX_FEED_BYTES) continue;
      feed.room.resolve();
      feed.room = undefined;
    }
    return entries;
  }

  /** True once: with the last of what was there in the beginning. */
  #isCaughtUp(taken: number): boolean {
    if (this.#saidCaughtUp) return false;
    const left = this.#merge.size + (this.#spare ? 1 : 0);
    if (this.#beginning !== undefined) this.#beginning -= taken;
    else if (this.#merge.hasCaughtUp) this.#beginning = left;
    return this.#saidCaughtUp = this.#beginning !== undefined && this.#beginning <= 0;
  }

  /** Sends until it is taken: across sessions, and while the manager has no room. */
  async #deliver(push: Omit<LogPush, "SessionID">): Promise<LogPushAnswer> {
    const { clock, sender } = this.#options, { signal } = this.#abort;
    const backoff = new Backoff(RETRY_PAUSE);
    while (true) {
      const send = await sender(signal);
      try {
        return await send(push);
      } catch (thrown) {
        signal.throwIfAborted();
        // What a manager refuses for good it would refuse again: the others are not held up by it.
        const { code, problems } = CoveyError.from(thrown);
        if (problems.length > 0 || code === "permission_denied" || code === "unimplemented") {
          return { Over: true };
        }
        await sleep(clock, backoff.next(), signal);
      }
    }
  }
}

interface Feed {
  abort: AbortController;
  /** Set while it waits for room. */
  room: PromiseWithResolvers<void> | undefined;
  ended: boolean;
  done: Promise<void> | undefined;
}
