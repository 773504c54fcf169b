/** What managers ask of this node besides running its tasks: answered for as long as it stands in their session messages. */
import type { Clock } from "../api/clock.ts";
import type { Ask } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { MAX_ASKS_PER_NODE } from "../api/logs.ts";
import { orAbort } from "../api/or_abort.ts";
import type { Random } from "../api/random.ts";
import { LogAnswer, type SendLogs } from "./log_answer.ts";
import type { LogAsk } from "../api/logs.ts";
import type { Tasks } from "./log_feed.ts";
import { type OpenStream, StreamAnswers } from "./streams/stream_answers.ts";

/** How long an answer is kept without a session: a link that comes and goes, not a device that was put away. */
const KEEP_MS = 10 * 60_000;

/** What it works with. */
export interface AsksOptions {
  clock: Clock;
  random: Random;
  tasks: Tasks;
}

/** The answers that are being given. */
export class Asks {
  readonly #options: AsksOptions;
  readonly #answers = new Map<string, LogAnswer>();
  readonly #streams: StreamAnswers;
  #session = Promise.withResolvers<SendLogs>();
  #cancelKeep = () => {};

  constructor(options: AsksOptions) {
    this.#options = options;
    this.#streams = new StreamAnswers(options.tasks);
  }

  /** A session is there, in which `send` sends and `openStream` opens. */
  connect(send: SendLogs, openStream: OpenStream): void {
    this.#streams.connect(openStream);
    this.#cancelKeep();
    this.#session.resolve(send);
    this.#session = Promise.withResolvers();
    this.#session.resolve(send);
  }

  /** The session is gone; what is under way waits for the next one, but for streams, which end with it. */
  disconnect(): void {
    this.#streams.disconnect();
    this.#session = Promise.withResolvers();
    this.#cancelKeep();
    if (this.#answers.size === 0) return;
    this.#cancelKeep = this.#options.clock.setTimer(KEEP_MS, () => this.apply([]));
  }

  /** All that is asked now: what is no longer there is over. */
  apply(asks: readonly Ask[]): void {
    const wanted = new Map(asks.slice(0, MAX_ASKS_PER_NODE).map((ask) => [ask.ID, ask]));
    for (const [id, answer] of this.#answers) {
      if (wanted.has(id)) continue;
      this.#answers.delete(id);
      void answer.stop();
    }
    this.#streams.apply([...wanted.values()].filter((ask) => ask.Kind === "stream"));
    for (const [id, ask] of wanted) {
      // A later manager may ask for what is not known here.
      if (ask.Kind !== "logs") continue;
      const answer = this.#answers.get(id);
      if (answer) answer.update(ask);
      else this.#answers.set(id, this.#answer(ask));
    }
  }

  /** True while nobody reads a log or has a stream open. */
  get isIdle(): boolean {
    return this.#answers.size === 0 && this.#streams.size === 0;
  }

  /** Ends all answers. */
  async stop(): Promise<void> {
    this.#cancelKeep();
    await this.#streams.stop();
    const answers = [...this.#answers.values()];
    this.#answers.clear();
    await Promise.all(answers.map((answer) => answer.stop()));
  }

  #answer(ask: LogAsk): LogAnswer {
    const sender = async (signal: AbortSignal) => {
      if (signal.aborted) throw CoveyError.from(signal.reason);
      return await orAbort(this.#session.promise, signal);
    };
    return new LogAnswer(ask, { ...this.#options, sender });
  }
}
