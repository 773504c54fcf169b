import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import type { BytePipe } from "./pipe.ts";
import { Session } from "./session.ts";
import type { Connection, PeerIdentity, Router } from "./types.ts";

/** What every kind of listener does with a pipe whose handshake is over. */
export interface AcceptorOptions {
  router: Router;
  clock: Clock;
  limits?: Partial<Limits> | undefined;
  /** Told about each accepted connection. */
  onConnection?: ((connection: Connection) => void) | undefined;
}

/** What the handshake proved. */
export interface Proof {
  peer: PeerIdentity | undefined;
  peerChainPEM: string | undefined;
}

/** The sessions of one listener, within its limits. */
export class Acceptor {
  readonly limits: Limits;
  readonly #options: AcceptorOptions;
  readonly #sessions = new Set<Session>();
  #anonymous = 0;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  get connections(): number {
    return this.#sessions.size;
  }

  /** Welcomes the peer, or tells it what `prove` threw or which limit is reached, and closes. */
  accept(pipe: BytePipe, prove: () => Proof): void {
    let proof: Proof = { peer: undefined, peerChainPEM: undefined };
    let refusal: CoveyError | undefined;
    try {
      proof = prove();
      refusal = this.#full(proof.peer);
    } catch (error) {
      refusal = CoveyError.from(error);
    }
    const { clock, router, onConnection } = this.#options;
    const session = new Session({
      ...proof,
      pipe,
      dialed: false,
      router,
      clock,
      limits: this.limits,
      refusal,
    });
    this.#sessions.add(session);
    const anonymous = refusal === undefined && proof.peer === undefined;
    if (anonymous) this.#anonymous++;
    session.closed.then(() => {
      this.#sessions.delete(session);
      if (anonymous) this.#anonymous--;
    });
    if (!refusal) onConnection?.(session);
  }

  /** Closes all sessions and waits until their sockets are released. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions];
    for (const session of sessions) session.close("the listener is closing");
    await Promise.all(sessions.map((session) => session.closed));
  }

  #full(peer: PeerIdentity | undefined): CoveyError | undefined {
    const { maxConnections, maxAnonymousConnections } = this.limits;
    const full = this.#sessions.size >= maxConnections;
    if (!full && (peer !== undefined || this.#anonymous < maxAnonymousConnections)) return undefined;
    const what = full
      ? `${maxConnections} connections`
      : `${maxAnonymousConnections} connections without certificate`;
    return new CoveyError("resource_exhausted", `Cannot accept connection: ${what} are open, the limit`, {
      retryable: true,
    });
  }
}
