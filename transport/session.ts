/**
 * One connection over a byte pipe.
 *
 *     opened --- hello: sent by who accepted, awaited by who dialed ---> calls in both directions
 *       |                                                                  |
 *       '--- refused ------------------.    .--- closed by either end, a malformed frame, no sign of life,
 *                                      v    v    a peer that does not read
 *                                      ended     all calls have failed; a goodbye and what was queued still leaves
 *                                        |
 *                                        v
 *                                      released  the pipe is closed: by the peer, or after a grace period
 */
import type { CancelTimer, Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import {
  encodeFrame,
  type Frame,
  FrameReader,
  type FrameSize,
  FrameType,
  PROTOCOL_VERSION,
} from "./frames.ts";
import { IdleLimit } from "./idle_limit.ts";
import { Keepalive } from "./keepalive.ts";
import {
  type Lane,
  type Limits,
  limitsFor,
  MAX_FRAMES_PER_VISIT,
  MAX_KEEPALIVE_INTERVAL_MS,
  VALUE_OVERHEAD_BYTES,
} from "./limits.ts";
import { type CallLink, OutgoingCall } from "./outgoing_call.ts";
import { callClientStream, callDuplex, callServerStream, callUnary } from "./outgoing_streams.ts";
import { Outbox } from "./outbox.ts";
import type { BytePipe } from "./pipe.ts";
import { ServedCall } from "./served_call.ts";
import { parseOpen, requireID, requireNumber } from "./session_frames.ts";
import { type Guest, Turns } from "./turns.ts";
import type { CallOptions, Connection, PeerIdentity, Router, Traffic } from "./types.ts";
import { malformed } from "./malformed.ts";
import { errorFromWire, errorToWire } from "./wire_error.ts";

/** What a session is made of. */
export interface SessionOptions {
  pipe: BytePipe;
  /** Whether this end dialed; the other one says hello. */
  dialed: boolean;
  peer: PeerIdentity | undefined;
  peerChainPEM: string | undefined;
  /** Methods that the other end may call; none if absent. */
  router?: Router | undefined;
  clock: Clock;
  /** Those of the listener or dialer; an accepted peer gets what its role is worth. */
  limits: Limits;
  /** Where it waits for its turn; one of its own if absent. */
  turns?: Turns | undefined;
  /** Counts frames; nobody does if absent. */
  traffic?: Traffic | undefined;
  /** Why the peer is not welcome: it is told, and nothing that it sends is looked at. */
  refusal?: CoveyError | undefined;
}

/** One connection over a byte pipe: both ends run this. */
export class Session implements Connection, CallLink, Guest {
  readonly peer: PeerIdentity | undefined;
  readonly peerChainPEM: string | undefined;
  readonly remoteAddress: string;
  readonly localAddress: string | undefined;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly lane: Lane;
  readonly closed: Promise<CoveyError | undefined>;
  /** Resolves when the accepting end has welcomed us; rejects with its refusal. */
  readonly welcomed: Promise<void>;

  readonly #pipe: BytePipe;
  readonly #dialed: boolean;
  readonly #router: Router | undefined;
  readonly #outbox: Outbox;
  readonly #reader: FrameReader;
  readonly #keepalive: Keepalive;
  readonly #idle: IdleLimit;
  readonly #turns: Turns;
  readonly #traffic: Traffic | undefined;
  readonly #calls = new Map<number, OutgoingCall>();
  readonly #served = new Map<number, ServedCall>();
  #nextID: number;
  #lastPeerID = 0;
  /** What the requests of the open calls count for. */
  #openBytes = 0;
  #ended = false;
  #error: CoveyError | undefined;
  #cancelGrace: CancelTimer | undefined;
  #onClosed!: (error: CoveyError | undefined) => void;
  #onWelcome!: { resolve: () => void; reject: (error: CoveyError) => void };

  constructor(options: SessionOptions) {
    this.peer = options.peer;
    this.peerChainPEM = options.peerChainPEM;
    this.remoteAddress = options.pipe.remoteAddress;
    this.localAddress = options.pipe.localAddress;
    this.clock = options.clock;
    const role = options.peer?.role;
    this.limits = options.dialed ? options.limits : limitsFor(role, options.limits);
    this.lane = role === "swarm-manager" ? "managers" : role === "swarm-worker" ? "nodes" : "anyone";
    this.#pipe = options.pipe;
    this.#dialed = options.dialed;
    this.#router = options.router;
    this.#nextID = options.dialed ? 1 : 2;
    this.closed = new Promise((resolve) => this.#onClosed = resolve);
    this.welcomed = new Promise((resolve, reject) => this.#onWelcome = { resolve, reject });
    this.welcomed.catch(() => {});
    this.#outbox = new Outbox(this.#pipe, this.limits);
    this.#reader = new FrameReader(this.limits.maxFrameBytes, this.limits.maxFrameValues);
    this.#traffic = options.traffic;
    this.#turns = options.turns ?? new Turns(this.clock);
    this.#idle = new IdleLimit(this.clock, this.limits.idleMs, () => {
      this.close(`no call for ${this.limits.idleMs} ms`);
    });
    this.#keepalive = new Keepalive(
      this.clock,
      this.limits,
      () => this.send([FrameType.ping]),
      (silentMs) => this.#break(this.#lost(`no sign of life for ${silentMs} ms`), false),
    );
    this.#pipe.start({
      data: (bytes) => this.#receive(bytes),
      drain: () => this.#outbox.drained(),
      closed: (error) => this.#released(error),
    });
    if (options.refusal) this.#end(options.refusal, options.refusal);
    else if (!this.#dialed) this.send([FrameType.hello, PROTOCOL_VERSION]);
  }

  call<T>(method: string, request: unknown, options: CallOptions = {}): Promise<T> {
    return callUnary(this, method, request, options) as Promise<T>;
  }

  serverStream<T>(method: string, request: unknown, options: CallOptions = {}): AsyncIterable<T> {
    return callServerStream(this, method, request, options) as AsyncIterable<T>;
  }

  clientStream<T>(
    method: string,
    requests: AsyncIterable<unknown>,
    options: CallOptions = {},
  ): Promise<T> {
    return callClientStream(this, method, requests, options) as Promise<T>;
  }

  duplex<T>(
    method: string,
    request: unknown,
    requests: AsyncIterable<unknown>,
    options: CallOptions = {},
  ): AsyncIterable<T> {
    return callDuplex(this, method, request, requests, options) as AsyncIterable<T>;
  }

  /** Whether a call of the other end is open. */
  get isServing(): boolean {
    return this.#served.size > 0;
  }

  expectSilence(ms: number): void {
    const intervalMs = this.#slowDown(ms);
    if (intervalMs !== undefined) this.send([FrameType.ping, intervalMs]);
  }

  /** The new interval, if it is another one. */
  #slowDown(ms: number): number | undefined {
    const intervalMs = Math.min(MAX_KEEPALIVE_INTERVAL_MS, Math.max(this.limits.keepaliveIntervalMs, ms));
    return this.#keepalive.slowDown(intervalMs) ? intervalMs : undefined;
  }

  close(reason = "closed"): void {
    this.#end(undefined, new CoveyError("unavailable", `The connection was closed: ${reason}`));
  }

  get hasRoom(): boolean {
    return this.#outbox.hasRoom;
  }

  whenRoom(run: () => void): void {
    this.#outbox.whenRoom(run);
  }

  send(frame: Frame): number {
    if (this.#ended) return 0;
    const body = encodeFrame(frame, this.limits.maxFrameBytes);
    this.#traffic?.frame(this.#methodOf(frame), body.length);
    try {
      this.#outbox.push(body);
    } catch (error) {
      this.#break(CoveyError.from(error), false);
    }
    return body.length;
  }

  enlist(call: OutgoingCall): number {
    if (this.#ended) {
      const why = this.#error?.message ?? "it was closed here";
      throw new CoveyError(
        "unavailable",
        `Cannot call ${this.remoteAddress}: the connection is over: ${why}`,
        { reason: "unsent" },
      );
    }
    if (this.#calls.size >= this.limits.maxConcurrentStreams) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot call ${this.remoteAddress}: ${this.#calls.size} calls are open, the limit`,
        { retryable: true },
      );
    }
    const id = this.#nextID;
    this.#nextID += 2;
    this.#calls.set(id, call);
    return id;
  }

  dismiss(id: number): void {
    this.#calls.delete(id);
  }

  #receive(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#reader.add(bytes);
    this.#turns.arrived(this);
    this.#reader.keep();
  }

  step(): boolean {
    if (this.#ended) return false;
    this.#keepalive.heard();
    try {
      return this.#reader.next((frame, size) => this.#dispatch(frame, size));
    } catch (error) {
      this.#break(CoveyError.from(error), true);
      return false;
    }
  }

  hold(): void {
    this.#pipe.pause();
  }

  go(): void {
    this.#pipe.resume();
  }

  defer(run: () => void): void {
    this.#pipe.defer(run);
  }

  /** The call of ours that a frame is about. */
  #methodOf(frame: Frame): string | undefined {
    return this.#calls.get(frame[1] as number)?.method;
  }

  #dispatch(frame: Frame, { bytes, values }: FrameSize): void {
    this.#traffic?.frame(this.#methodOf(frame), bytes);
    switch (frame[0]) {
      case FrameType.open:
        return this.#serve(frame, bytes + values * VALUE_OVERHEAD_BYTES);
      case FrameType.ping:
        // Of a stranger nothing is kept for long.
        if (frame[1] !== undefined && this.peer) this.#slowDown(requireNumber(frame[1], "silence"));
        return void this.send([FrameType.pong]);
      case FrameType.pong:
        return;
      case FrameType.hello:
        return this.#welcome(frame);
      case FrameType.goodbye:
        return this.#end(errorFromWire(frame[1]));
      default:
        return this.#route(frame, bytes);
    }
  }

  /** Hands a frame to its call. */
  #route(frame: Frame, size: number): void {
    const id = requireID(frame[1]);
    if ((id % 2 === 1) === this.#dialed) {
      if (id >= this.#nextID) throw malformed(`call ${id} was never made`);
      const call = this.#calls.get(id);
      if (call) this.#routeToCaller(call, frame, size);
      return;
    }
    if (id > this.#lastPeerID) throw malformed(`call ${id} was never opened`);
    const served = this.#served.get(id);
    if (served) this.#routeToServed(served, frame, size);
  }

  #routeToCaller(call: OutgoingCall, frame: Frame, size: number): void {
    const { events } = call;
    if (frame[0] === FrameType.result && events.result) return call.succeed(frame[2]);
    if (frame[0] === FrameType.fail) return call.fail(errorFromWire(frame[2]));
    if (frame[0] === FrameType.item && events.item) return events.item(frame[2], size);
    if (frame[0] === FrameType.end && events.ended) return events.ended();
    if (frame[0] === FrameType.credit && events.credit) {
      return events.credit(requireNumber(frame[2], "credit"));
    }
    throw malformed(`type ${String(frame[0]).slice(0, 20)} does not fit its call`);
  }

  #routeToServed(served: ServedCall, frame: Frame, size: number): void {
    if (frame[0] === FrameType.item) return served.item(frame[2], size);
    if (frame[0] === FrameType.end) return served.ended();
    if (frame[0] === FrameType.credit) return served.credit(requireNumber(frame[2], "credit"));
    if (frame[0] !== FrameType.cancel) {
      throw malformed(`type ${String(frame[0]).slice(0, 20)} does not fit its call`);
    }
    served.cancel(new CoveyError("canceled", "The caller canceled the call"));
  }

  /** Opens a call whose request counts for `cost`. */
  #serve(frame: Frame, cost: number): void {
    const { request, ...open } = parseOpen(frame);
    const { id } = open;
    if ((id % 2 === 1) === this.#dialed || id <= this.#lastPeerID) {
      throw malformed(`call ${id} cannot be opened`);
    }
    this.#lastPeerID = id;
    try {
      this.#checkRoom(open.name, cost);
      if (!this.#router) {
        throw new CoveyError("unimplemented", `Cannot call ${open.name}: no methods are served`);
      }
      const method = this.#router.resolve(open.name, open.kind, this.peer, open.forwardedFor);
      const served = new ServedCall(
        this,
        { ...open, method, peer: this.peer, maxCallMs: this.limits.maxCallMs },
        () => {
          this.#served.delete(id);
          this.#openBytes -= cost;
          if (this.#served.size === 0 && !this.#ended) this.#idle.idle();
        },
      );
      this.#served.set(id, served);
      this.#openBytes += cost;
      this.#idle.busy();
      served.start(request);
    } catch (error) {
      this.send([FrameType.fail, id, errorToWire(CoveyError.from(error))]);
    }
  }

  #checkRoom(name: string, cost: number): void {
    const { maxConcurrentStreams, maxOpenBytes } = this.limits;
    const isFull = this.#openBytes > 0 && this.#openBytes + cost > maxOpenBytes;
    if (this.#served.size < maxConcurrentStreams && !isFull) return;
    const what = isFull ? `requests of ${this.#openBytes} bytes` : `${this.#served.size} calls`;
    throw new CoveyError("resource_exhausted", `Cannot call ${name}: ${what} are open, the limit`, {
      retryable: true,
    });
  }

  #welcome(frame: Frame): void {
    if (!this.#dialed) throw malformed("hello from the end that dialed");
    if (frame[1] !== PROTOCOL_VERSION) {
      throw malformed(`unknown protocol version ${String(frame[1]).slice(0, 20)}`);
    }
    this.#onWelcome.resolve();
  }

  #lost(problem: string): CoveyError {
    return new CoveyError("unavailable", `Lost the connection to ${this.remoteAddress}: ${problem}`);
  }

  /** Ends the connection over an error; the peer is told if it can still hear. */
  #break(error: CoveyError, tell: boolean): void {
    this.#end(error, tell ? error : undefined);
    if (!tell) this.#pipe.destroy();
  }

  /**
   * The end for both directions: `error` is why (undefined: we wanted it), `farewell` is what the peer is
   * told.
   */
  #end(error: CoveyError | undefined, farewell?: CoveyError): void {
    if (this.#ended) return;
    if (farewell) this.send([FrameType.goodbye, errorToWire(farewell)]);
    if (this.#ended) return; // the peer does not read: sending has just ended it
    this.#outbox.flush();
    this.#ended = true;
    this.#error = error;
    this.#keepalive.stop();
    this.#idle.busy();
    const why = error ?? this.#lost("it was closed here");
    this.#onWelcome.reject(why);
    this.#outbox.close();
    for (const call of [...this.#calls.values()]) call.broken(why);
    const gone = new CoveyError("canceled", "The connection of the caller is over", { cause: why });
    for (const served of [...this.#served.values()]) served.cancel(gone);
    this.#cancelGrace = this.clock.setTimer(this.limits.closeGraceMs, () => this.#pipe.destroy());
    this.#pipe.end();
  }

  #released(error?: Error): void {
    // What came before the end and waits for its turn counts, as far as one turn goes: it may say why.
    for (let left = MAX_FRAMES_PER_VISIT[this.lane]; left > 0 && this.step(); left--);
    this.#end(this.#lost(error?.message ?? "closed by the peer"));
    this.#cancelGrace?.();
    this.#onClosed(this.#error);
  }
}
