/**
 * Connections between nodes that do not reach each other: an agent makes a call with items both ways ({@linkcode RelayCall})
 * to its manager, which has the other node ask for the task ({@linkcode RelayAsk}) and passes the bytes on. Only for
 * networks that allow it, as the managers carry what their devices say to one another.
 */

/** The option of a network's driver that allows it: `on`. */
export const RELAY_OPTION = "covey.relay";

/** What an agent's call for a connection begins with. */
export interface RelayCall {
  SessionID: string;
  NetworkID: string;
  /** IPv4 address, in the network, of a task that serves. */
  Address: string;
  Port: number;
}

/** What a manager asks of the node of that task. It stands in the session's messages until the agent has made its call. */
export interface RelayAsk extends Omit<RelayCall, "SessionID"> {
  Kind: "relay";
  ID: string;
}

/** Bytes of one item of such a call: a quarter of a stream's window. */
export const MAX_RELAY_PIECE_BYTES = 64 * 1024;
/** Relayed connections of one node, those that it asks for and those to its tasks: each holds up to two windows at the leader. */
export const MAX_RELAYED_PER_NODE = 64;
/** Relayed connections of one manager: with two windows each they hold 256 MiB at most. */
export const MAX_RELAYED = 512;
/** Connections that a node is asked for at a time: it has room for other asks then (`MAX_ASKS_PER_NODE`). */
export const MAX_RELAY_ASKS_PER_NODE = 8;
/** Bytes a second of one node, both ways: what a device says, not what it streams. */
export const MAX_RELAY_RATE_PER_NODE = 1024 * 1024;
/** The same of one manager, whose link is for its own work first. */
export const MAX_RELAY_RATE = 8 * 1024 * 1024;
/** How long the other node may take until it has made its call: a session's message and a call, on the slowest link. */
export const RELAY_OPEN_MS = 30_000;

/** What was relayed for a node since this manager leads. */
export interface RelayUsage {
  /** Connections that are open now, and those that there were. */
  Open: number;
  Opened: number;
  /** Bytes from the node and to it. */
  FromNode: number;
  ToNode: number;
  /** Connections that were refused for a limit. */
  Refused: number;
}
