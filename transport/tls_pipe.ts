import { setImmediate } from "node:timers";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { formatAddress } from "./address.ts";
import type { BytePipe, PipeEvents } from "./pipe.ts";

/** ALPN name of the protocol in `frames.ts`. */
export const ALPN = "covey/1";

/** What both ends ask of TLS: certificates are judged by `verifyPeer` alone, see {@linkcode VerifyPeer}. */
export const TLS_OPTIONS: {
  minVersion: "TLSv1.3";
  maxVersion: "TLSv1.3";
  ALPNProtocols: string[];
  rejectUnauthorized: false;
} = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3", ALPNProtocols: [ALPN], rejectUnauthorized: false };

/** HOST:PORT of the other end. */
export function remoteAddress(socket: Socket): string {
  return formatAddress(socket.remoteAddress ?? "unknown", socket.remotePort ?? 0);
}

/** The part of a socket's handle that makes it read, or not. */
interface TCPHandle {
  readStart(): void;
  readStop(): void;
}

/** A TLS connection whose handshake is over. */
export class TLSPipe implements BytePipe {
  readonly remoteAddress: string;
  readonly localAddress: string | undefined;
  readonly #socket: TLSSocket;
  #error: Error | undefined;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.remoteAddress = remoteAddress(socket);
    this.localAddress = socket.localAddress;
  }

  get buffered(): number {
    return this.#socket.writableLength;
  }

  start(events: PipeEvents): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Uint8Array) => events.data(bytes));
    socket.on("drain", () => events.drain());
    socket.on("end", () => socket.destroySoon());
    socket.on("error", (error) => this.#error = error);
    if (socket.destroyed) setImmediate(() => events.closed(this.#error));
    else socket.on("close", () => events.closed(this.#error));
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
    this.#tcp?.readStop();
  }

  resume(): void {
    if (this.#socket.destroyed) return;
    this.#socket.resume();
    this.#tcp?.readStart();
  }

  end(): void {
    // Whatever still comes would only be dropped.
    this.#tcp?.readStop();
    this.#socket.destroySoon();
  }

  /**
   * What is below TLS. A TLS socket that is paused goes on reading and keeps what it reads, without a bound (Deno 2.9.5), so
   * that only this holds back who sends.
   */
  get #tcp(): TCPHandle | undefined {
    return (this.#socket as TLSSocket & { _handle?: { _parent?: TCPHandle } | null })._handle?._parent;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  defer(run: () => void): void {
    setImmediate(run);
  }
}
