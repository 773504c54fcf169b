import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import type { BytePipe } from "./pipe.ts";
import { networkOf } from "./remote_network.ts";
import { Session } from "./session.ts";
import { Turns } from "./turns.ts";
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
  readonly #turns: Turns;
  /** All, those that were refused and are on their way out included. */
  readonly #sessions = new Set<Session>();
  readonly #anonymous = new Sharers();
  readonly #nodes = new Sharers();

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#turns = new Turns(options.clock);
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  get connections(): number {
    return this.#sessions.size;
  }

  /** Welcomes the peer, or tells it what `prove` threw or which limit is reached, and closes. */
  accept(pipe: BytePipe, prove: () => Proof): void {
    let proof: Proof = { peer: undefined, peerChainPEM: undefined };
    let refusal: CoveyError | undefined;
    const proven = () => proof.peer?.unproven ? undefined : proof.peer;
    const sharers = () => proven() ? this.#nodes : this.#anonymous;
    const owner = () => proven()?.nodeID ?? networkOf(pipe.remoteAddress);
    try {
      proof = prove();
      refusal = this.#full(proven()) ?? this.#makeRoom(proven(), owner());
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
      turns: this.#turns,
      refusal,
    });
    this.#sessions.add(session);
    if (!refusal) sharers().add(owner(), session);
    session.closed.then(() => {
      this.#sessions.delete(session);
      if (!refusal) sharers().delete(owner(), session);
    });
    if (!refusal) onConnection?.(session);
  }

  /** Closes all sessions and waits until their sockets are released. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions];
    for (const session of sessions) session.close("the listener is closing");
    await Promise.all(sessions.map((session) => session.closed));
  }

  /** Managers have a reserve: they must reach each other when all devices of the fleet are there. */
  #full(peer: PeerIdentity | undefined): CoveyError | undefined {
    const { maxConnections, managerReserve } = this.limits;
    const limit = peer?.role === "swarm-manager"
      ? maxConnections
      : Math.max(1, maxConnections - managerReserve);
    return this.#sessions.size < limit ? undefined : full(`${limit} connections`);
  }

  /** Lets older connections give way where `owner`, or all without a certificate, have as many as they may. */
  #makeRoom(peer: PeerIdentity | undefined, owner: string): CoveyError | undefined {
    const { maxConnectionsPerManager, maxConnectionsPerWorker } = this.limits;
    if (peer) {
      const most = peer.role === "swarm-manager" ? maxConnectionsPerManager : maxConnectionsPerWorker;
      // One that does nothing, or the oldest: that may be lost without our knowing.
      while (this.#nodes.of(owner).length >= most) {
        this.#giveWay(this.#nodes, owner, this.#nodes.idle(owner) ?? this.#nodes.of(owner)[0]!);
      }
      return undefined;
    }
    const { maxAnonymousConnections, maxAnonymousConnectionsPerAddress } = this.limits;
    const anonymous = this.#anonymous;
    if (anonymous.of(owner).length >= maxAnonymousConnectionsPerAddress) {
      const idle = anonymous.idle(owner);
      if (!idle) {
        return full(`${maxAnonymousConnectionsPerAddress} connections without certificate from there`);
      }
      this.#giveWay(anonymous, owner, idle);
    }
    if (anonymous.size >= maxAnonymousConnections) {
      const loser = anonymous.greediest().find((each) => anonymous.idle(each));
      if (loser === undefined) return full(`${maxAnonymousConnections} connections without certificate`);
      this.#giveWay(anonymous, loser, anonymous.idle(loser)!);
    }
    return undefined;
  }

  #giveWay(sharers: Sharers, owner: string, session: Session): void {
    sharers.delete(owner, session);
    session.close("it gives way to a newer one");
  }
}

function full(what: string): CoveyError {
  return new CoveyError("resource_exhausted", `Cannot accept connection: ${what} are open, the limit`, {
    retryable: true,
  });
}

/** Sessions by whom they belong to, oldest first. */
class Sharers {
  readonly #owners = new Map<string, Set<Session>>();
  size = 0;

  of(owner: string): Session[] {
    return [...this.#owners.get(owner) ?? []];
  }

  /** The oldest without an open call. */
  idle(owner: string): Session | undefined {
    return this.of(owner).find((session) => !session.isServing);
  }

  /** All owners, who has most first. */
  greediest(): string[] {
    return [...this.#owners].sort(([, a], [, b]) => b.size - a.size).map(([owner]) => owner);
  }

  add(owner: string, session: Session): void {
    const sessions = this.#owners.get(owner) ?? new Set();
    this.#owners.set(owner, sessions.add(session));
    this.size++;
  }

  delete(owner: string, session: Session): void {
    const sessions = this.#owners.get(owner);
    if (!sessions?.delete(session)) return;
    this.size--;
    if (sessions.size === 0) this.#owners.delete(owner);
  }
}
