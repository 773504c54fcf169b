/** What the rest of the program sees of the transport. */
import type { CoveyError } from "../api/errors.ts";

/** Who is at the other end, as proven by its certificate. */
export interface PeerIdentity {
  nodeID: string;
  clusterID: string;
  role: "swarm-manager" | "swarm-worker";
  certificatePEM: string;
  /** The certificate has expired and was let in to be renewed: the router says what such a peer may call. */
  expired?: boolean;
  /** PEM of the root that vouches for it, where that may be one of several. */
  rootPEM?: string;
  /** That root's word is worth nothing more: whoever this is takes no place of the node's, but one of those without a certificate. */
  unproven?: boolean;
}

/** Options of one call. */
export interface CallOptions {
  /** Cancels the call here and at the other end. */
  signal?: AbortSignal;
  /** Milliseconds until the call fails with `deadline_exceeded`; the other end is told what remains. */
  timeoutMs?: number;
  /**
   * The node a manager makes this call for; only managers may set it, and that node's role is then judged.
   */
  forwardedFor?: PeerIdentity;
}

/** What a handler knows about its call. */
export interface CallContext {
  /** The node at the other end; undefined if it showed no certificate. */
  peer: PeerIdentity | undefined;
  /** HOST:PORT of the other end. */
  remoteAddress: string;
  /**
   * Aborted with a {@linkcode CoveyError} when the caller cancels, the deadline passes or the connection
   * breaks.
   */
  signal: AbortSignal;
  /** When the caller gives up, in this side's `clock.monotonic()` milliseconds. */
  deadline?: number;
  /** The node on whose behalf `peer`, a manager, makes the call. */
  forwardedFor?: PeerIdentity;
}

/** Answers one request with one response. */
export type UnaryHandler = (request: unknown, context: CallContext) => Promise<unknown>;
/** Answers one request with items; its iterator's `return` is called if the caller leaves early. */
export type ServerStreamHandler = (request: unknown, context: CallContext) => AsyncIterable<unknown>;
/** Answers items with one response, at any time; `requests` fails if the caller gives up. */
export type ClientStreamHandler = (
  requests: AsyncIterable<unknown>,
  context: CallContext,
) => Promise<unknown>;

/**
 * Answers items with items, both at once. Each side ends its own by itself (half close): the call is over when the handler's
 * iterable has ended and `requests` was read to its end or left by its `return`. `requests` fails if the caller gives up.
 */
export type DuplexHandler = (
  request: unknown,
  requests: AsyncIterableIterator<unknown>,
  context: CallContext,
) => AsyncIterable<unknown>;

/** Who may call: anyone at all, any node with an accepted certificate, or managers only. */
export type Access = "anyone" | "node" | "manager";

/** The shapes of a call. */
export type MethodKind = "unary" | "server_stream" | "client_stream" | "duplex";

/** One method that a {@linkcode Router} offers. */
export type Method =
  | { kind: "unary"; access: Access; handler: UnaryHandler }
  | { kind: "server_stream"; access: Access; handler: ServerStreamHandler }
  | { kind: "client_stream"; access: Access; handler: ClientStreamHandler }
  | { kind: "duplex"; access: Access; handler: DuplexHandler };

/** A method's name, shape and access, for tests of all calls by all roles. */
export interface MethodSummary {
  name: string;
  kind: MethodKind;
  access: Access;
}

/** The methods of a listener. */
export interface Router {
  /** Adds a method such as `dispatcher.session`; a name can be taken once. */
  register(name: string, method: Method): void;
  /** All methods, by name. */
  methods(): MethodSummary[];
  /**
   * The method, if it exists, has this shape, and the caller may use it.
   *
   * Errors: `unimplemented`, `invalid_argument` (wrong shape), `unauthenticated` (no certificate),
   * `permission_denied` (wrong role; forwarding by someone who is no manager).
   */
  resolve(
    name: string,
    kind: MethodKind,
    peer: PeerIdentity | undefined,
    forwardedFor?: PeerIdentity,
  ): Method;
}

/** Is told of each frame that leaves or arrives. */
export interface Traffic {
  /** `method` is that of the call that the frame is about, made by this end; `bytes` are without the length. */
  frame(method: string | undefined, bytes: number): void;
}

/** One connection; calls in both directions share it. */
export interface Connection {
  readonly peer: PeerIdentity | undefined;
  /**
   * The certificates that the other end showed, leaf first, as PEM; unverified if `verifyPeer` accepts
   * anything.
   */
  readonly peerChainPEM: string | undefined;
  readonly remoteAddress: string;
  /** This end's address without port, where there is one. */
  readonly localAddress?: string | undefined;
  /** Resolves once everything is released: undefined if closed at this end, else the error that ended it. */
  readonly closed: Promise<CoveyError | undefined>;
  /**
   * Makes one call. Rejects with the handler's error, `canceled`, `deadline_exceeded`,
   * `resource_exhausted` (a
   * limit), or `unavailable` when the connection breaks; the message says if the outcome is unknown.
   */
  call<T>(method: string, request: unknown, options?: CallOptions): Promise<T>;
  /** Items of one answer, called when iteration starts; leaving the loop cancels at the other end. */
  serverStream<T>(method: string, request: unknown, options?: CallOptions): AsyncIterable<T>;
  /** Sends items, gets one answer; if that comes early, `requests` is ended by its `return`. */
  clientStream<T>(method: string, requests: AsyncIterable<unknown>, options?: CallOptions): Promise<T>;
  /**
   * Expects a sign of life no more often than in so many milliseconds, here and at the other end: each costs bytes. A link
   * that dies is noticed that much later. 0: as often as by default.
   */
  expectSilence(ms: number): void;
  /**
   * Sends items and gets items, each side with its own window and its own end. The call is made when iteration starts;
   * leaving the loop cancels it, and an error of `requests` does too. When the other end wants no more, or the call fails,
   * `requests` is ended by its `return`.
   */
  duplex<T>(
    method: string,
    request: unknown,
    requests: AsyncIterable<unknown>,
    options?: CallOptions,
  ): AsyncIterable<T>;
  /** Tells the other end why, fails what is open with `unavailable`, and releases the connection. */
  close(reason?: string): void;
}

/** Opens connections. */
export interface Dialer {
  /**
   * Connects to HOST:PORT or [v6]:PORT; resolves when both ends have accepted each other's certificates.
   *
   * Errors: `invalid_argument` (address), `unavailable`, `deadline_exceeded`, or what either `verifyPeer`
   * threw.
   */
  dial(address: string, options?: CallOptions): Promise<Connection>;
}

/** Accepts connections. */
export interface Listener {
  /** The real HOST:PORT, also when port 0 was asked for. */
  readonly address: string;
  /** Connections that are open, handshakes excluded. */
  readonly connections: number;
  /** New handshakes use what `identity()` returns from now on; open connections stay. */
  refreshIdentity(): void;
  /** Stops accepting, closes all connections, resolves when every socket is released. */
  close(): Promise<void>;
}

/** A node's certificate (leaf, then its chain) and its key, both PEM. */
export interface TLSMaterial {
  certificatePEM: string;
  privateKeyPEM: string;
}

/**
 * Judges the chain that the other end showed (PEM, leaf first; undefined if it showed none). The handshake
 * has proven that
 * it holds the leaf's key, and nothing else: that the other certificates signed the leaf is for this
 * function to check.
 * Returns undefined for a peer to be treated as anonymous; throws a `CoveyError` to refuse it, which the
 * peer is told.
 */
export type VerifyPeer = (chainPEM: string | undefined) => PeerIdentity | undefined;
