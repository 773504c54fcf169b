/** One node's session as the dispatcher knows it, and how often a node may open one. */
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";

/** Sessions a node may open per {@linkcode RATE_WINDOW_MS} (SwarmKit: 3 per 8 s). */
const MAX_SESSIONS_PER_WINDOW = 3;
/** See {@linkcode MAX_SESSIONS_PER_WINDOW}. */
const RATE_WINDOW_MS = 8000;

/** A live session. Ends once: replaced, expired, or its node removed. */
export class Registration {
  readonly nodeID: string;
  readonly sessionID: string;
  /** Kinds of asks that the node's agent answers. */
  answers: ReadonlySet<string> = new Set();
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #ended: CoveyError | undefined;
  #cancelExpiry: CancelTimer | undefined;

  constructor(nodeID: string, sessionID: string, clock: Clock) {
    this.nodeID = nodeID;
    this.sessionID = sessionID;
    this.#clock = clock;
  }

  /** Why the session ended; undefined while it lives. */
  get ended(): CoveyError | undefined {
    return this.#ended;
  }

  /** Calls `listener` on every {@linkcode touch} and when the session ends. Returns how to stop that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Says that the session's message may have changed. */
  touch(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Restarts the time after which `expire` is called. */
  expect(withinMs: number, expire: () => void): void {
    this.#cancelExpiry?.();
    if (!this.#ended) this.#cancelExpiry = this.#clock.setTimer(withinMs, expire);
  }

  /** Lets it live until {@linkcode expect} is called again. */
  expectNothing(): void {
    this.#cancelExpiry?.();
  }

  /** Ends the session for `reason`. */
  end(reason: CoveyError): void {
    if (this.#ended) return;
    this.#ended = reason;
    this.#cancelExpiry?.();
    this.touch();
  }
}

/** Counts the sessions that nodes open, so that a flapping one cannot keep the managers busy. */
export class SessionRate {
  readonly #clock: Clock;
  readonly #opened = new Map<string, number[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one more session. Throws `resource_exhausted`, retryable, over the limit. */
  count(nodeID: string): void {
    const now = this.#clock.monotonic();
    const recent = (this.#opened.get(nodeID) ?? []).filter((at) => now - at < RATE_WINDOW_MS);
    this.#opened.set(nodeID, recent);
    if (recent.length >= MAX_SESSIONS_PER_WINDOW) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot open a session: node ${nodeID} opened ${recent.length} in ${RATE_WINDOW_MS / 1000} s`,
        { retryable: true },
      );
    }
    recent.push(now);
  }

  /** Forgets a node. */
  forget(nodeID: string): void {
    this.#opened.delete(nodeID);
  }
}
