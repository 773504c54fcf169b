import type { CancelTimer, Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { DIAL_TIMEOUT_MS, type Limits } from "./limits.ts";
import type { Session } from "./session.ts";
import type { CallOptions } from "./types.ts";

/** The time and the patience that one dial has. */
export class DialTimer {
  #ended: CoveyError | undefined;
  #listener: ((error: CoveyError) => void) | undefined;
  readonly #cancelTimer: CancelTimer;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort: () => void;

  constructor(address: string, clock: Clock, limits: Limits, options: CallOptions) {
    const timeoutMs = Math.min(options.timeoutMs ?? DIAL_TIMEOUT_MS, limits.handshakeTimeoutMs);
    const problem = `no welcome within ${timeoutMs} ms`;
    this.#cancelTimer = clock.setTimer(
      timeoutMs,
      () =>
        this.#end(
          new CoveyError("deadline_exceeded", `Cannot connect to ${address}: ${problem}`, {
            retryable: true,
          }),
        ),
    );
    const signal = this.#signal = options.signal;
    this.#onAbort = () => {
      const message = `Cannot connect to ${address}: canceled by the caller`;
      const { reason } = signal!;
      this.#end(
        reason instanceof CoveyError ? reason : new CoveyError("canceled", message, { cause: reason }),
      );
    };
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted) this.#onAbort();
  }

  /** Runs `run` if time runs out or the caller cancels; it replaces the one given before. */
  onEnd(run: (error: CoveyError) => void): void {
    this.#listener = run;
    if (this.#ended) run(this.#ended);
  }

  /** The dial is over; `onEnd` will not run any more. */
  stop(): void {
    this.#listener = undefined;
    this.#cancelTimer();
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  #end(error: CoveyError): void {
    this.#ended = error;
    this.#listener?.(error);
  }
}

/**
 * The session once the other end has accepted us; a session that is refused or too late is released first.
 */
export async function awaitWelcome(session: Session, timer: DialTimer): Promise<Session> {
  try {
    await new Promise<void>((resolve, reject) => {
      timer.onEnd(reject);
      session.welcomed.then(resolve, reject);
    });
    return session;
  } catch (error) {
    session.close("the dial was given up");
    await session.closed;
    throw error;
  }
}
