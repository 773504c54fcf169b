/** Where a client and a node meet for one stream. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { orAbort } from "../../api/or_abort.ts";
import type { StreamAsk } from "../../api/streams.ts";
import type { Asker, Reach } from "../dispatcher/mod.ts";

/** How long to wait for the node. */
export interface MeetingPatience {
  clock: Clock;
  withinMs: number;
  signal: AbortSignal;
}

/** One stream, from the ask to its end. */
export class StreamMeeting implements Asker {
  readonly #ask: StreamAsk;
  readonly #fromClient: AsyncIterator<unknown>;
  readonly #node = Promise.withResolvers<AsyncIterableIterator<unknown>>();
  /** Resolves with why the client's part is over. */
  readonly #over = Promise.withResolvers<CoveyError | undefined>();
  /** Bytes that the node was sent. */
  sentBytes = 0;
  #joined = false;

  constructor(ask: StreamAsk, fromClient: AsyncIterable<unknown>) {
    this.#ask = ask;
    this.#fromClient = fromClient[Symbol.asyncIterator]();
    this.#node.promise.catch(() => {});
  }

  ask(): StreamAsk {
    return this.#ask;
  }

  /** What the node sends, once it has made its call. */
  async comes({ clock, withinMs, signal }: MeetingPatience): Promise<AsyncIterableIterator<unknown>> {
    const cancel = clock.setTimer(withinMs, () => {
      const message = `Cannot open a stream: the node has not answered within ${withinMs / 1000} s`;
      this.#node.reject(new CoveyError("deadline_exceeded", message));
    });
    try {
      return await orAbort(this.#node.promise, signal);
    } finally {
      cancel();
    }
  }

  join(fromNode: AsyncIterableIterator<unknown>): AsyncIterable<unknown> {
    if (this.#joined) throw new CoveyError("already_exists", "Cannot open the stream: it is open already");
    this.#joined = true;
    this.#node.resolve(fromNode);
    return this.#toNode();
  }

  reached(reach: Reach): void {
    if (reach === "connected") return;
    const [code, why] = reach === "unable"
      ? ["unimplemented", "its agent is of an older version"] as const
      : ["unavailable", "it is not connected"] as const;
    this.#node.reject(new CoveyError(code, `Cannot reach the task's node: ${why}`));
  }

  ended(reason: CoveyError): void {
    this.#node.reject(reason);
    this.#over.resolve(reason);
  }

  /** The stream is over here: the node's call ends, however far its own part is. */
  end(): void {
    this.#over.resolve(undefined);
    const gone = new CoveyError("canceled", "Cannot open a stream: the client has left");
    this.#node.reject(gone);
    void Promise.resolve(this.#fromClient.return?.()).catch(() => {});
  }

  /** A client that leaves says nothing: the end of what it sends is its end. */
  async *#toNode(): AsyncGenerator<unknown, void> {
    const over = this.#over.promise.then((error) => ({ over: error ?? true as const }));
    while (true) {
      const next = await Promise.race([over, this.#fromClient.next().catch(() => LEFT)]);
      if ("over" in next) {
        if (next.over === true) return;
        throw next.over;
      }
      if (next.done) throw new CoveyError("canceled", "Cannot go on with the stream: the client has left");
      if (next.value instanceof Uint8Array) this.sentBytes += next.value.length;
      yield next.value;
    }
  }
}

const LEFT = { done: true, value: undefined } as const;
