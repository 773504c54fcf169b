/** Every bound of the transport, with its reason. Exceeding one is a typed error, never a crash or a hang. */
import type { PeerIdentity } from "./types.ts";

/**
 * Largest frame from a peer with a certificate: gRPC's and SwarmKit's 4 MiB; larger things are sent as
 * streams.
 */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;

/** Largest frame from a peer without one: a join request is a token and a CSR, about 2 KiB. */
const MAX_ANONYMOUS_FRAME_BYTES = 16 * 1024;

/** Most values in such a frame: a join request has about 20. */
const MAX_ANONYMOUS_FRAME_VALUES = 50;

/** Calls that a peer without certificate may have open: it makes one after the other. */
const MAX_ANONYMOUS_STREAMS = 4;

/** Bytes that may wait to leave to a peer without certificate: a certificate chain is about 4 KiB. */
const MAX_ANONYMOUS_QUEUED_BYTES = 64 * 1024;

/** How long a peer without certificate may have no call open: it connects because it has something to ask. */
const ANONYMOUS_IDLE_MS = 10_000;

/** How long one of its calls may take: a manager waits for a leader for 10 s. */
const MAX_ANONYMOUS_CALL_MS = 60_000;

/**
 * Deepest nesting of a frame: a service spec nests about 12 deep, and recursion must stay far from the
 * stack's end.
 */
export const MAX_VALUE_DEPTH = 64;

/**
 * Most values in a frame: one byte of CBOR can become an object of 50 bytes, so this bounds a frame to
 * about 25 MB.
 */
export const MAX_FRAME_VALUES = 500_000;

/** Most values in a frame from a worker: a full report has 1,000 statuses of about 25 values. */
const MAX_WORKER_FRAME_VALUES = 100_000;

/** What a value in a request counts for beside its bytes: what an object takes in memory. */
export const VALUE_OVERHEAD_BYTES = 64;

/**
 * Requests of a worker's open calls, values counted; a single one may be larger. Workers ask for little at a time.
 */
const MAX_WORKER_OPEN_BYTES = 8 * 1024 * 1024;

/** The same of a manager, which hands on the requests of others: twice what it may hold back itself. */
const MAX_MANAGER_OPEN_BYTES = 64 * 1024 * 1024;

/**
 * Most calls open at once in one direction: 16 API clients per manager with 100 calls in flight each, with
 * slack.
 */
const MAX_CONCURRENT_STREAMS = 2048;

/** What a stream may send ahead of its consumer: 100 Mbit/s at 20 ms round trip. */
const STREAM_WINDOW_BYTES = 256 * 1024;

/** Counted per stream item on top of its bytes, so that millions of tiny items fill the window as well. */
export const ITEM_OVERHEAD_BYTES = 64;

/**
 * Bytes waiting to leave one connection before calls and streams are held back: two of the largest frames.
 */
const MAX_QUEUED_BYTES = 2 * MAX_FRAME_BYTES;

/**
 * Bytes waiting to leave before a peer that does not read is cut off: room for one frame more and control
 * frames.
 */
const QUEUE_OVERDRAFT_BYTES = MAX_FRAME_BYTES + 1024 * 1024;

/** Calls waiting for a full connection to drain; beyond it a call fails at once. */
export const MAX_WAITING_CALLS = 4096;

/** Silence after which a ping is sent: below the 30 s of the shortest common NAT timeout. */
const KEEPALIVE_INTERVAL_MS = 15_000;

/** The longest silence that a peer may ask for: what stays of one that is gone is held for three times as long. */
export const MAX_KEEPALIVE_INTERVAL_MS = 36 * 3600_000;

/** Unanswered pings before a connection counts as broken: a dead link is noticed within 45 s. */
const KEEPALIVE_MISSES = 2;

/**
 * From the first packet to the peer's welcome, at most: four round trips of 10 s on the slowest link. How many are under way at
 * once is bounded too.
 */
const HANDSHAKE_TIMEOUT_MS = 40_000;

/** The same for a dial that nobody has measured: three TCP retransmissions on a bad mobile link. */
export const DIAL_TIMEOUT_MS = 10_000;

/** How long a closing connection may take to hand over what is queued before it is cut. */
const CLOSE_GRACE_MS = 2_000;

/** Connections of one listener: at about 45 KB each 10,000 devices take 450 MB. */
const MAX_CONNECTIONS = 10_000;

/** Connections of peers without a certificate: joins are short, so many at once are an attack. */
const MAX_ANONYMOUS_CONNECTIONS = 256;

/** Those of one address (IPv6: one /64): a site with many devices joins in turns. */
const MAX_ANONYMOUS_CONNECTIONS_PER_ADDRESS = 32;

/** Connections that only managers get: seven managers with all that they may open to a leader. */
const MANAGER_RESERVE = 128;

/** Connections with one worker's certificate: an agent has one or two, and a lost one lingers for 45 s. */
const MAX_CONNECTIONS_PER_WORKER = 4;

/** Connections with one manager's certificate: 16 to the leader, two of Raft and what its own agent has, with slack. */
const MAX_CONNECTIONS_PER_MANAGER = 64;

/** Sockets whose handshake is not over: beyond it whoever has most of them loses its oldest. */
export const MAX_HANDSHAKES = 1024;

/** Connections beyond the limit that are being told so. */
export const MAX_REFUSALS = 32;

/**
 * Connections that the kernel accepts before this process does. All of them become descriptors at once, so it is a part of
 * what is kept free; what comes beyond is asked to try again within a second.
 */
export const ACCEPT_BACKLOG = 64;

/** Whose frames come first: managers' (Raft, and what they hand on), then those of nodes, then of who has no certificate. */
export type Lane = "managers" | "nodes" | "anyone";

/**
 * Frames that a connection of each lane may have handled in its turn: with what their calls then do, a few milliseconds.
 * Who has no certificate sends two or three in all.
 */
export const MAX_FRAMES_PER_VISIT: Readonly<Record<Lane, number>> = { managers: 128, nodes: 64, anyone: 8 };

/** Time that one connection may take in its turn, decoding included: many turns fit the answer of an API request. */
export const VISIT_MS = 1;

/** Frames of all connections that are handled as they come in one turn of the event loop; later ones wait in line. */
export const MAX_FRAMES_PER_TURN: Readonly<Record<Lane, number>> = {
  managers: Infinity,
  nodes: 256,
  anyone: 16,
};

/** The time for it. */
export const TURN_MS = 4;

/**
 * Certificates of a peer's chain that are looked at: leaf, intermediate and root, with slack for a root
 * rotation.
 */
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
  maxFrameValues: number;
  maxConcurrentStreams: number;
  /** Requests of open calls, see {@linkcode VALUE_OVERHEAD_BYTES}. */
  maxOpenBytes: number;
  streamWindowBytes: number;
  maxQueuedBytes: number;
  /** Bytes beyond that before a peer that does not read is cut off. */
  queueOverdraftBytes: number;
  /** How long the peer may have no call open; 0: for ever. */
  idleMs: number;
  /** How long its calls may take; 0: as long as it says. */
  maxCallMs: number;
  keepaliveIntervalMs: number;
  keepaliveMisses: number;
  handshakeTimeoutMs: number;
  closeGraceMs: number;
  maxConnections: number;
  maxAnonymousConnections: number;
  maxAnonymousConnectionsPerAddress: number;
  /** Of `maxConnections`, those for managers alone. */
  managerReserve: number;
  maxConnectionsPerWorker: number;
  maxConnectionsPerManager: number;
}

/** The limits in force unless others are given. */
export const DEFAULT_LIMITS: Readonly<Limits> = {
  maxFrameBytes: MAX_FRAME_BYTES,
  maxFrameValues: MAX_FRAME_VALUES,
  maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
  streamWindowBytes: STREAM_WINDOW_BYTES,
  maxOpenBytes: MAX_MANAGER_OPEN_BYTES,
  maxQueuedBytes: MAX_QUEUED_BYTES,
  queueOverdraftBytes: QUEUE_OVERDRAFT_BYTES,
  idleMs: 0,
  maxCallMs: 0,
  keepaliveIntervalMs: KEEPALIVE_INTERVAL_MS,
  keepaliveMisses: KEEPALIVE_MISSES,
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  closeGraceMs: CLOSE_GRACE_MS,
  maxConnections: MAX_CONNECTIONS,
  maxAnonymousConnections: MAX_ANONYMOUS_CONNECTIONS,
  maxAnonymousConnectionsPerAddress: MAX_ANONYMOUS_CONNECTIONS_PER_ADDRESS,
  managerReserve: MANAGER_RESERVE,
  maxConnectionsPerWorker: MAX_CONNECTIONS_PER_WORKER,
  maxConnectionsPerManager: MAX_CONNECTIONS_PER_MANAGER,
};

/** What is left of `limits` for who is at the other end of an accepted connection. */
export function limitsFor(role: PeerIdentity["role"] | undefined, limits: Limits): Limits {
  if (role === "swarm-manager") return limits;
  const most = (at: Partial<Record<keyof Limits, number>>): Limits => {
    const less = { ...limits };
    for (const [name, value] of Object.entries(at) as [keyof Limits, number][]) {
      less[name] = Math.min(less[name], value);
    }
    return less;
  };
  if (role === "swarm-worker") {
    return most({ maxFrameValues: MAX_WORKER_FRAME_VALUES, maxOpenBytes: MAX_WORKER_OPEN_BYTES });
  }
  const few = most({
    maxFrameBytes: MAX_ANONYMOUS_FRAME_BYTES,
    maxFrameValues: MAX_ANONYMOUS_FRAME_VALUES,
    maxConcurrentStreams: MAX_ANONYMOUS_STREAMS,
    maxOpenBytes: MAX_ANONYMOUS_QUEUED_BYTES,
    streamWindowBytes: MAX_ANONYMOUS_FRAME_BYTES,
    maxQueuedBytes: MAX_ANONYMOUS_QUEUED_BYTES,
    queueOverdraftBytes: MAX_ANONYMOUS_QUEUED_BYTES,
  });
  return {
    ...few,
    idleMs: limits.idleMs || ANONYMOUS_IDLE_MS,
    maxCallMs: limits.maxCallMs || MAX_ANONYMOUS_CALL_MS,
  };
}
