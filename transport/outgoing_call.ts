import { CoveyError, type ErrorReason } from "../api/errors.ts";
import type { CancelTimer } from "../api/clock.ts";
import { FrameType } from "./frames.ts";
import type { Link } from "./link.ts";
import type { CallOptions, MethodKind } from "./types.ts";

/** What one call needs of its connection on top of {@linkcode Link}. */
export interface CallLink extends Link {
  /**
   * Gives the call its ID and routes the other end's frames to it. Throws if the connection or its limits
   * forbid.
   */
  enlist(call: OutgoingCall): number;
  /** Stops routing frames to it. */
  dismiss(id: number): void;
}

/** What happens to a call; after `result` or `failed`, nothing more. */
export interface CallEvents {
  /** The request was sent under this ID. */
  opened?(id: number): void;
  result?(value: unknown): void;
  failed(error: CoveyError): void;
  item?(value: unknown, bytes: number): void;
  /** The other end has no more items. */
  ended?(): void;
  /** The other end takes `bytes` more of items. */
  credit?(bytes: number): void;
}

/** What is called. */
export interface CallSpec {
  kind: MethodKind;
  method: string;
  request: unknown;
  /** Bytes of items that the other end may send at first. */
  credit: number;
  options: CallOptions;
}

/** The caller's end of one call: deadline, cancellation and exactly one outcome. */
export class OutgoingCall {
  readonly events: CallEvents;
  readonly #link: CallLink;
  readonly #spec: CallSpec;
  #id = 0;
  #over = false;
  #cancelTimer: CancelTimer | undefined;
  #onAbort: (() => void) | undefined;

  constructor(link: CallLink, spec: CallSpec, events: CallEvents) {
    this.#link = link;
    this.#spec = spec;
    this.events = events;
  }

  get method(): string {
    return this.#spec.method;
  }

  /** Sends the request, now or as soon as the connection has room. */
  start(): void {
    const { signal, timeoutMs } = this.#spec.options;
    if (signal?.aborted) return this.#settle(this.#canceled(signal));
    if (timeoutMs !== undefined && !(timeoutMs > 0)) return this.#settle(this.#timedOut(timeoutMs));
    if (signal) {
      this.#onAbort = () => this.cancel(this.#canceled(signal));
      signal.addEventListener("abort", this.#onAbort, { once: true });
    }
    let deadline: number | undefined;
    if (timeoutMs !== undefined) {
      deadline = this.#link.clock.monotonic() + timeoutMs;
      this.#cancelTimer = this.#link.clock.setTimer(timeoutMs, () => this.cancel(this.#timedOut(timeoutMs)));
    }
    try {
      this.#link.whenRoom(() => this.#open(deadline));
    } catch (error) {
      this.#settle(CoveyError.from(error));
    }
  }

  /** The caller gave up: tells the other end, and fails with `error`. */
  cancel(error: CoveyError): void {
    if (this.#over) return;
    if (this.#id > 0) this.#link.send([FrameType.cancel, this.#id]);
    this.#settle(error);
  }

  /** The other end's answer. */
  succeed(value: unknown): void {
    if (this.#over) return;
    this.#finish();
    this.events.result?.(value);
  }

  /** The other end's error. */
  fail(error: CoveyError): void {
    this.#settle(error);
  }

  /** The connection is gone, for the reason in `error`. */
  broken(error: CoveyError): void {
    const what = `Cannot call ${this.#spec.method}: ${error.message}, ${this.#fate()}`;
    const refused = error.code === "permission_denied" || error.code === "unauthenticated";
    const code = refused ? error.code : "unavailable";
    this.#settle(new CoveyError(code, what, { cause: error, reason: this.#reason }));
  }

  #open(deadline: number | undefined): void {
    if (this.#over) return;
    const { kind, method, request, credit, options } = this.#spec;
    const remaining = deadline === undefined ? 0 : Math.max(1, deadline - this.#link.clock.monotonic());
    const frame = [FrameType.open, 0, kind, method, request, remaining, credit];
    if (options.forwardedFor) frame.push(options.forwardedFor);
    let id = 0;
    try {
      frame[1] = id = this.#link.enlist(this);
      this.#link.send(frame);
      this.#id = id;
    } catch (error) {
      if (id > 0) this.#link.dismiss(id);
      return this.#settle(CoveyError.from(error));
    }
    this.events.opened?.(id);
  }

  get #reason(): ErrorReason {
    return this.#id > 0 ? "outcome_unknown" : "unsent";
  }

  #fate(): string {
    return this.#id > 0 ? "outcome unknown" : "the request was not sent";
  }

  #canceled(signal: AbortSignal): CoveyError {
    if (signal.reason instanceof CoveyError) return signal.reason;
    const message = `Cannot call ${this.#spec.method}: canceled by the caller`;
    return new CoveyError("canceled", message, { cause: signal.reason });
  }

  #timedOut(timeoutMs: number): CoveyError {
    const message = `Cannot call ${this.#spec.method}: no answer within ${timeoutMs} ms, ${this.#fate()}`;
    return new CoveyError("deadline_exceeded", message, { reason: this.#reason });
  }

  #settle(error: CoveyError): void {
    if (this.#over) return;
    this.#finish();
    this.events.failed(error);
  }

  #finish(): void {
    this.#over = true;
    this.#cancelTimer?.();
    if (this.#onAbort) this.#spec.options.signal?.removeEventListener("abort", this.#onAbort);
    if (this.#id > 0) this.#link.dismiss(this.#id);
  }
}
