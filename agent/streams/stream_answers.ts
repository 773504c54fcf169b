/** The streams into this node's tasks that managers ask for, from the ask to their end. */
import { CoveyError } from "../../api/errors.ts";
import { getLogger } from "../../api/log.ts";
import { MAX_STREAMS_PER_NODE, type StreamAsk } from "../../api/streams.ts";
import type { Tasks } from "../log_feed.ts";

/** Opens the stream called `id` at the manager: what comes of it, and in return what `toManager` gives. */
export type OpenStream = (
  id: string,
  toManager: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
) => AsyncIterable<unknown>;

const logger = getLogger(["covey", "streams"]);

/** Each is opened once: a stream that broke is over. */
export class StreamAnswers {
  readonly #tasks: Tasks;
  /** Those that are open, by what was asked. */
  readonly #open = new Map<string, { abort: AbortController; done: Promise<void> }>();
  /** All that was asked for in the last message. */
  #asked = new Set<string>();
  #openStream: OpenStream | undefined;

  constructor(tasks: Tasks) {
    this.#tasks = tasks;
  }

  /** A session is there. */
  connect(openStream: OpenStream): void {
    this.#openStream = openStream;
  }

  /** It is gone, and with it its streams. */
  disconnect(): void {
    this.#openStream = undefined;
    this.#asked.clear();
  }

  /** All that is asked for now and not open yet. */
  apply(asks: readonly StreamAsk[]): void {
    const before = this.#asked, openStream = this.#openStream;
    this.#asked = new Set(asks.map(({ ID }) => ID));
    if (openStream === undefined) return void this.#asked.clear();
    for (const ask of asks) {
      if (before.has(ask.ID) || this.#open.has(ask.ID)) continue;
      // The manager keeps to it, too.
      if (this.#open.size >= MAX_STREAMS_PER_NODE) return;
      const abort = new AbortController();
      const done = this.#serve(ask, openStream, abort).finally(() => this.#open.delete(ask.ID));
      this.#open.set(ask.ID, { abort, done });
    }
  }

  /** Those that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** Ends all of them. */
  async stop(): Promise<void> {
    const open = [...this.#open.values()];
    for (const { abort } of open) abort.abort(new CoveyError("canceled", "Cannot go on: the agent stops"));
    await Promise.all(open.map(({ done }) => done));
  }

  async #serve(ask: StreamAsk, openStream: OpenStream, abort: AbortController): Promise<void> {
    try {
      // Loaded when somebody wants it, as most devices never need it.
      const { answerStream } = await import("./stream_answer.ts");
      await answerStream(ask, this.#tasks, openStream, abort);
    } catch (thrown) {
      logger.warn("A stream into task {id} ended: {message}", {
        id: ask.TaskID,
        message: CoveyError.from(thrown).message,
      });
    }
  }
}
