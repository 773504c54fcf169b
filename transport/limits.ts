/** Every bound of the transport, with its reason. Exceeding one is a typed error, never a crash or a hang. */

/** Largest frame from a peer with a certificate: gRPC's and SwarmKit's 4 MiB; larger things are sent as streams. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;

/** Largest frame from a peer without one: a join request is a token and a CSR, about 2 KiB. */
export const MAX_ANONYMOUS_FRAME_BYTES = 64 * 1024;

/** Deepest nesting of a frame: a service spec nests about 12 deep, and recursion must stay far from the stack's end. */
export const MAX_VALUE_DEPTH = 64;

/** Most values in a frame: one byte of CBOR can become an object of 50 bytes, so this bounds a frame to about 25 MB. */
export const MAX_FRAME_VALUES = 500_000;

/** Most calls open at once in one direction: 16 API clients per manager with 100 calls in flight each, with slack. */
export const MAX_CONCURRENT_STREAMS = 2048;

/** What a stream may send ahead of its consumer: 100 Mbit/s at 20 ms round trip. */
export const STREAM_WINDOW_BYTES = 256 * 1024;

/** Counted per stream item on top of its bytes, so that millions of tiny items fill the window as well. */
export const ITEM_OVERHEAD_BYTES = 64;

/** Bytes waiting to leave one connection before calls and streams are held back: two of the largest frames. */
export const MAX_QUEUED_BYTES = 2 * MAX_FRAME_BYTES;

/** Bytes waiting to leave before a peer that does not read is cut off: room for one frame more and control frames. */
export const QUEUE_OVERDRAFT_BYTES = MAX_FRAME_BYTES + 1024 * 1024;

/** Calls waiting for a full connection to drain; beyond it a call fails at once. */
export const MAX_WAITING_CALLS = 4096;

/** Silence after which a ping is sent: below the 30 s of the shortest common NAT timeout. */
export const KEEPALIVE_INTERVAL_MS = 15_000;

/** Unanswered pings before a connection counts as broken: a dead link is noticed within 45 s. */
export const KEEPALIVE_MISSES = 2;

/** From the first packet to the peer's welcome: three TCP retransmissions on a bad mobile link. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** How long a closing connection may take to hand over what is queued before it is cut. */
export const CLOSE_GRACE_MS = 2_000;

/** Connections of one listener: at about 45 KB each 10,000 devices take 450 MB. */
export const MAX_CONNECTIONS = 10_000;

/** Connections of peers without a certificate: joins are short, so many at once are an attack. */
export const MAX_ANONYMOUS_CONNECTIONS = 256;

/** Certificates of a peer's chain that are looked at: leaf, intermediate and root, with slack for a root rotation. */
export const MAX_CHAIN_CERTIFICATES = 8;

/** Longest method name, so that an error that quotes it stays short. */
export const MAX_METHOD_NAME_LENGTH = 128;

/** Longest error message on the wire; the rest is cut. */
export const MAX_ERROR_MESSAGE_LENGTH = 4096;

/** Most field problems of one error on the wire. */
export const MAX_ERROR_PROBLEMS = 100;

/** The limits that a listener or dialer can be given; bytes and milliseconds. */
export interface Limits {
  maxFrameBytes: number;
  maxAnonymousFrameBytes: number;
  maxConcurrentStreams: number;
  streamWindowBytes: number;
  maxQueuedBytes: number;
  keepaliveIntervalMs: number;
  keepaliveMisses: number;
  handshakeTimeoutMs: number;
  closeGraceMs: number;
  maxConnections: number;
  maxAnonymousConnections: number;
}

/** The limits in force unless others are given. */
export const DEFAULT_LIMITS: Readonly<Limits> = {
  maxFrameBytes: MAX_FRAME_BYTES,
  maxAnonymousFrameBytes: MAX_ANONYMOUS_FRAME_BYTES,
  maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
  streamWindowBytes: STREAM_WINDOW_BYTES,
  maxQueuedBytes: MAX_QUEUED_BYTES,
  keepaliveIntervalMs: KEEPALIVE_INTERVAL_MS,
  keepaliveMisses: KEEPALIVE_MISSES,
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  closeGraceMs: CLOSE_GRACE_MS,
  maxConnections: MAX_CONNECTIONS,
  maxAnonymousConnections: MAX_ANONYMOUS_CONNECTIONS,
};
