import { getLogger } from "../api/log.ts";
import type { CancelTimer } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { FrameType } from "./frames.ts";
import { ItemSender } from "./item_sender.ts";
import type { Link } from "./link.ts";
import { ReadToTheEnd } from "./read_to_the_end.ts";
import { ReceiveQueue } from "./receive_queue.ts";
import type { CallContext, Method, PeerIdentity } from "./types.ts";
import { malformed } from "./malformed.ts";
import { errorToWire } from "./wire_error.ts";

const logger = getLogger(["covey", "transport"]);

/** A call as it was opened by the other end, access already granted. */
export interface ServedRequest {
  id: number;
  name: string;
  method: Method;
  /** Milliseconds the caller waits; 0: for ever. */
  timeoutMs: number;
  /** Milliseconds this end grants it; 0: as long as the caller waits. */
  maxCallMs: number;
  /** Bytes of items that the caller takes at first. */
  credit: number;
  peer: PeerIdentity | undefined;
  forwardedFor: PeerIdentity | undefined;
}

/** The context of one call; the abort signal is made only for handlers that look at it. */
class Context implements CallContext {
  readonly peer: PeerIdentity | undefined;
  readonly remoteAddress: string;
  declare deadline?: number;
  declare forwardedFor?: PeerIdentity;
  #controller: AbortController | undefined;
  #aborted: CoveyError | undefined;

  constructor(peer: PeerIdentity | undefined, remoteAddress: string) {
    this.peer = peer;
    this.remoteAddress = remoteAddress;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  abort(error: CoveyError): void {
    this.#aborted ??= error;
    this.#controller?.abort(error);
  }
}

/**
 * The handler's end of one call. It holds its place among the open calls until the handler has really
 * ended.
 */
export class ServedCall {
  readonly #link: Link;
  readonly #call: ServedRequest;
  readonly #done: () => void;
  readonly #context: Context;
  #answered = false;
  #requests: ReceiveQueue | undefined;
  #sender: ItemSender | undefined;
  #cancelTimer: CancelTimer | undefined;

  /** `done` is called once, when the handler has ended. */
  constructor(link: Link, call: ServedRequest, done: () => void) {
    this.#link = link;
    this.#call = call;
    this.#done = done;
    this.#context = new Context(call.peer, link.remoteAddress);
    if (call.forwardedFor) this.#context.forwardedFor = call.forwardedFor;
  }

  /** Runs the handler. The request is its own: here it is not kept while the handler runs. */
  start(request: unknown): void {
    const { name, maxCallMs } = this.#call;
    const timeoutMs = maxCallMs === 0
      ? this.#call.timeoutMs
      : Math.min(this.#call.timeoutMs || maxCallMs, maxCallMs);
    if (timeoutMs > 0) {
      this.#context.deadline = this.#link.clock.monotonic() + timeoutMs;
      this.#cancelTimer = this.#link.clock.setTimer(timeoutMs, () => {
        const error = new CoveyError(
          "deadline_exceeded",
          `Cannot answer ${name}: the caller's deadline passed`,
        );
        this.#fail(error);
        this.cancel(error);
      });
    }
    let running: Promise<void>;
    try {
      running = this.#run(request);
    } catch (error) {
      running = Promise.reject(error);
    }
    running.then(() => this.#end(), (error) => {
      this.#fail(this.#translate(error));
      this.#end();
    });
  }

  /** The call is over for the caller: nothing more is sent, and the handler is told. */
  cancel(error: CoveyError): void {
    this.#answered = true;
    this.#cancelTimer?.();
    this.#context.abort(error);
    this.#requests?.end(error);
    this.#sender?.stop();
  }

  /** An item of the caller's stream. */
  item(value: unknown, bytes: number): void {
    if (this.#requests === undefined) throw malformed(`an item for ${this.#call.name}, which takes none`);
    this.#requests.push(value, bytes);
  }

  /** The caller has no more items. */
  ended(): void {
    this.#requests?.end();
  }

  /** The caller takes `bytes` more of items. */
  credit(bytes: number): void {
    this.#sender?.addCredit(bytes);
  }

  #run(request: unknown): Promise<void> {
    const { id, method, credit } = this.#call;
    if (method.kind === "unary") {
      return method.handler(request, this.#context).then((value) => this.#answer(value));
    }
    if (method.kind === "client_stream") {
      return method.handler(this.#takeRequests(), this.#context).then((value) => this.#answer(value));
    }
    this.#sender = new ItemSender(this.#link, id, credit);
    if (method.kind === "duplex") {
      const requests = new ReadToTheEnd(this.#takeRequests());
      return this.#sender.run(method.handler(request, requests, this.#context))
        .then((complete) => complete ? requests.over : undefined)
        .then(() => this.#answer(undefined));
    }
    return this.#sender.run(method.handler(request, this.#context)).then((complete) => {
      if (complete) this.#answered = true;
    });
  }

  /** The caller's items, which may come from now on. */
  #takeRequests(): ReceiveQueue {
    const window = this.#link.limits.streamWindowBytes;
    const grant = (bytes: number) => {
      if (!this.#answered) this.#link.send([FrameType.credit, this.#call.id, bytes]);
    };
    this.#requests = new ReceiveQueue(window, grant, () => {});
    grant(window);
    return this.#requests;
  }

  /** Sends the answer as soon as the connection has room; until then the call stays open. */
  #answer(value: unknown): void | Promise<void> {
    if (this.#link.hasRoom) return this.#sendResult(value);
    return new Promise<void>((resolve) => this.#link.whenRoom(resolve)).then(() => this.#sendResult(value));
  }

  #sendResult(value: unknown): void {
    if (this.#answered) return;
    this.#link.send([FrameType.result, this.#call.id, value]);
    this.#answered = true;
  }

  #fail(error: CoveyError): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#link.send([FrameType.fail, this.#call.id, errorToWire(error)]);
  }

  #translate(error: unknown): CoveyError {
    if (error instanceof CoveyError) return error;
    if (!this.#answered) {
      logger.error("Handler of {method} failed: {error}", { method: this.#call.name, error });
    }
    return CoveyError.from(error);
  }

  #end(): void {
    this.#cancelTimer?.();
    this.#requests?.discard();
    this.#done();
  }
}
