import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { Acceptor, type AcceptorOptions } from "./acceptor.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { awaitWelcome, DialTimer } from "./dialing.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { type MemoryPath, MemoryPipe } from "./memory_pipe.ts";
import { Session } from "./session.ts";
import type { CallOptions, Connection, Dialer, Listener, PeerIdentity, Router, Traffic } from "./types.ts";

/** Judges the identity that the other end states; throws a `CoveyError` to refuse it. */
export type VerifyMemoryPeer = (identity: PeerIdentity | undefined) => PeerIdentity | undefined;

/** Options of {@linkcode MemoryNetwork.listen}. */
export interface MemoryListenOptions extends AcceptorOptions {
  /** HOST:PORT; HOST names the machine for {@linkcode MemoryNetwork.setLink}; port 0 takes a free one. */
  listen: string;
  identity: () => PeerIdentity | undefined;
  /** Default: accepts what is stated. */
  verifyPeer?: VerifyMemoryPeer;
}

/** Options of {@linkcode MemoryNetwork.dialer}. */
export interface MemoryDialerOptions {
  /** The machine that dials. */
  host: string;
  identity: () => PeerIdentity | undefined;
  /** Default: accepts what is stated. */
  verifyPeer?: VerifyMemoryPeer;
  clock: Clock;
  limits?: Partial<Limits>;
  router?: Router;
  traffic?: Traffic;
}

/**
 * `up`; `stalled`: bytes are held, dials hang, nobody is told; `cut`: connections are reset, dials are
 * refused.
 */
export type LinkState = "up" | "stalled" | "cut";

/** A network inside the process: the sessions, frames and limits of the real one without sockets. */
export interface MemoryNetwork {
  listen(options: MemoryListenOptions): Promise<Listener>;
  dialer(options: MemoryDialerOptions): Dialer;
  /** Sets the link between two machines, both directions. Held bytes arrive once it is `up` again. */
  setLink(a: string, b: string, state: LinkState): void;
  /** Stalls or frees one direction only. */
  setPath(from: string, to: string, state: "up" | "stalled"): void;
  /** Resets all connections of a machine, as its sudden end does. */
  resetHost(host: string): void;
}

interface Endpoint {
  host: string;
  acceptor: Acceptor;
  options: MemoryListenOptions;
}

class InProcessNetwork implements MemoryNetwork {
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #paths = new Map<string, MemoryPath>();
  readonly #cut = new Set<string>();
  readonly #pipes = new Map<MemoryPipe, { from: string; to: string }>();
  readonly #pieceBytes: number;
  #nextPort = 1;

  constructor(pieceBytes: number) {
    this.#pieceBytes = pieceBytes;
  }

  listen(options: MemoryListenOptions): Promise<Listener> {
    const { host, port } = parseAddress(options.listen);
    const address = formatAddress(host, port || this.#nextPort++);
    if (this.#endpoints.has(address)) {
      return Promise.reject(new CoveyError("unavailable", `Cannot listen on ${address}: it is in use`));
    }
    const acceptor = new Acceptor(options);
    this.#endpoints.set(address, { host, acceptor, options });
    return Promise.resolve({
      address,
      get connections() {
        return acceptor.connections;
      },
      refreshIdentity: () => {},
      close: async () => {
        this.#endpoints.delete(address);
        await acceptor.close();
      },
    });
  }

  dialer(options: MemoryDialerOptions): Dialer {
    return { dial: (address, callOptions = {}) => this.#dial(address, options, callOptions) };
  }

  setLink(a: string, b: string, state: LinkState): void {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      if (state === "cut") this.#cut.add(`${from}>${to}`);
      else this.#cut.delete(`${from}>${to}`);
      if (state !== "cut") this.setPath(from, to, state);
    }
    if (state === "cut") this.#reset(({ from, to }) => (from === a && to === b) || (from === b && to === a));
  }

  setPath(from: string, to: string, state: "up" | "stalled"): void {
    this.#path(from, to).stalled = state === "stalled";
    for (const [pipe, ends] of this.#pipes) if (ends.from === from || ends.to === from) pipe.wake();
  }

  resetHost(host: string): void {
    this.#reset(({ from, to }) => from === host || to === host);
  }

  async #dial(address: string, options: MemoryDialerOptions, callOptions: CallOptions): Promise<Connection> {
    const { host } = parseAddress(address);
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const endpoint = this.#endpoints.get(address);
    if (endpoint === undefined || this.#cut.has(`${options.host}>${host}`)) {
      throw new CoveyError("unavailable", `Cannot connect to ${address}: connection refused`);
    }
    const timer = new DialTimer(address, options.clock, limits, callOptions);
    try {
      const server = endpoint.options.identity();
      const peer = options.verifyPeer ? options.verifyPeer(server) : server;
      const pipe = this.#connect(options, address, endpoint);
      const { clock, router } = options;
      const peerChainPEM = server?.certificatePEM;
      const session = new Session({
        pipe,
        dialed: true,
        peer,
        peerChainPEM,
        router,
        clock,
        limits,
        traffic: options.traffic,
      });
      return await awaitWelcome(session, timer);
    } finally {
      timer.stop();
    }
  }

  #connect(options: MemoryDialerOptions, address: string, endpoint: Endpoint): MemoryPipe {
    const from = options.host;
    const to = endpoint.host;
    const [near, far] = MemoryPipe.pair(
      {
        address: formatAddress(from, this.#nextPort++),
        toPeer: this.#path(from, to),
        onClosed: () => this.#pipes.delete(near),
      },
      { address, toPeer: this.#path(to, from), onClosed: () => this.#pipes.delete(far) },
    );
    this.#pipes.set(near, { from, to });
    this.#pipes.set(far, { from: to, to: from });
    const identity = options.identity();
    endpoint.acceptor.accept(far, () => {
      const { verifyPeer } = endpoint.options;
      const peer = verifyPeer ? verifyPeer(identity) : identity;
      return { peer, peerChainPEM: identity?.certificatePEM };
    });
    return near;
  }

  #reset(matches: (ends: { from: string; to: string }) => boolean): void {
    for (const [pipe, ends] of [...this.#pipes]) if (matches(ends)) pipe.reset();
  }

  #path(from: string, to: string): MemoryPath {
    const key = `${from}>${to}`;
    let path = this.#paths.get(key);
    if (path === undefined) this.#paths.set(key, path = { stalled: false, pieceBytes: this.#pieceBytes });
    return path;
  }
}

/**
 * A network inside the process. `pieceBytes` cuts what arrives into pieces of at most so many bytes; 0: as
 * sent.
 */
export function memoryNetwork(options: { pieceBytes?: number } = {}): MemoryNetwork {
  return new InProcessNetwork(options.pieceBytes ?? 0);
}
