import type { Socket } from "node:net";
import { setImmediate } from "node:timers";
import tls from "node:tls";
import type { CancelTimer, Clock } from "../api/clock.ts";
import { networkOf } from "./remote_network.ts";
import { remoteAddress, TLS_OPTIONS } from "./tls_pipe.ts";

/** What shakes hands, and within which limits. */
export interface HandshakesOptions {
  clock: Clock;
  /** Sockets at once, see `MAX_HANDSHAKES`. */
  most: number;
  timeoutMs: number;
  secureContext: () => tls.SecureContext;
  done: (socket: tls.TLSSocket) => void;
}

/** How long a socket may send nothing: whoever comes from afar sends with its first packet. */
const MAX_SILENCE_MS = 10_000;

interface Candidate {
  socket: Socket;
  /** See {@linkcode networkOf}. */
  network: string;
  cancelTimer: CancelTimer;
}

/**
 * Sockets in their handshake. One begins in each turn of the event loop, the addresses in turns, so that a fleet that
 * reconnects at once, or somebody who only begins, holds up nothing else. A socket that has sent nothing costs no more than
 * itself. Each is cut when it takes too long; beyond `most`, whoever has most loses its oldest.
 *
 * The TLS sockets are made here and not by a `tls.Server`: that one keeps each whose handshake fails for ever, 17 KB at a time
 * (Deno 2.9.5).
 */
export class Handshakes {
  readonly #options: HandshakesOptions;
  readonly #open = new Map<string, Set<Candidate>>();
  /** Those that have sent something, by network; the first network is next. */
  readonly #waiting = new Map<string, Candidate[]>();
  #size = 0;
  #scheduled = false;

  constructor(options: HandshakesOptions) {
    this.#options = options;
  }

  /** How many sockets are here. */
  get size(): number {
    return this.#size;
  }

  begin(socket: Socket): void {
    const { clock, most, timeoutMs } = this.#options;
    if (this.#size >= most) this.#dropOldest();
    const network = networkOf(remoteAddress(socket));
    const cutAfter = (ms: number) => clock.setTimer(ms, () => socket.destroy());
    const candidate = { socket, network, cancelTimer: cutAfter(Math.min(timeoutMs, MAX_SILENCE_MS)) };
    const open = this.#open.get(network) ?? new Set();
    this.#open.set(network, open.add(candidate));
    this.#size++;
    socket.on("close", () => this.#finish(candidate));
    socket.on("error", () => {});
    socket.once("readable", () => {
      candidate.cancelTimer();
      if (!socket.destroyed) candidate.cancelTimer = cutAfter(timeoutMs);
      if (socket.readableLength === 0) socket.destroy();
      else this.#enqueue(candidate);
    });
  }

  close(): void {
    for (const open of [...this.#open.values()]) for (const { socket } of open) socket.destroy();
  }

  #finish(candidate: Candidate): void {
    const open = this.#open.get(candidate.network);
    if (!open?.delete(candidate)) return;
    this.#size--;
    candidate.cancelTimer();
    if (open.size === 0) this.#open.delete(candidate.network);
  }

  #dropOldest(): void {
    let greediest = new Set<Candidate>();
    for (const open of this.#open.values()) if (open.size > greediest.size) greediest = open;
    const [oldest] = greediest;
    if (oldest === undefined) return;
    this.#finish(oldest);
    oldest.socket.destroy();
  }

  #enqueue(candidate: Candidate): void {
    const waiting = this.#waiting.get(candidate.network);
    if (waiting) waiting.push(candidate);
    else this.#waiting.set(candidate.network, [candidate]);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const next = this.#next();
      if (next) this.#secure(next);
      this.#schedule();
    });
  }

  /** The next that is still there; its network goes to the end of the line. */
  #next(): Candidate | undefined {
    for (const [network, waiting] of this.#waiting) {
      this.#waiting.delete(network);
      const next = waiting.shift();
      if (waiting.length > 0) this.#waiting.set(network, waiting);
      if (next && !next.socket.destroyed) return next;
    }
    return undefined;
  }

  #secure(candidate: Candidate): void {
    const { socket } = candidate;
    const secured = new tls.TLSSocket(socket, {
      ...TLS_OPTIONS,
      isServer: true,
      requestCert: true,
      secureContext: this.#options.secureContext(),
    });
    // The error that ends a handshake is told by an event of its own as well.
    const fail = () => {
      secured.destroy();
      socket.destroy();
    };
    secured.on("error", fail);
    secured.on("_tlsError", fail);
    secured.once("secure", () => {
      this.#finish(candidate);
      secured.off("error", fail);
      secured.off("_tlsError", fail);
      secured.on("error", () => {});
      this.#options.done(secured);
    });
  }
}
