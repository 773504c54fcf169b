/**
 * Messages between an agent's session and the dispatcher (SwarmKit `api/dispatcher.proto`). Every call but `session`
 * carries the session's ID; a wrong one is `invalid_argument`, an unregistered node `not_found`.
 */
import {
  DEPENDENCY_KINDS,
  type DependencyKind,
  type DependencyPayload,
  type NodeSeal,
} from "./dependency.ts";
import type { LogAsk } from "./logs.ts";
import type { RelayAsk } from "./relay.ts";
import type { StreamAsk } from "./streams.ts";
import type { NodeMetrics } from "./node_metrics.ts";
import type {
  AssignedNetwork,
  AssignedPeer,
  AssignedService,
  NetworkAssignmentKind,
} from "./network_assignment.ts";
import type { Node, NodeDescription } from "./node.ts";
import type { Task, TaskStatus } from "./task.ts";

/** Names of the dispatcher's calls, as registered with the transport's router. All need a node certificate. */
export const DISPATCHER_METHODS = {
  /** Server stream: {@linkcode SessionRequest} to {@linkcode SessionMessage}s. */
  session: "dispatcher.session",
  /** Unary: {@linkcode HeartbeatRequest} to {@linkcode HeartbeatResponse}. */
  heartbeat: "dispatcher.heartbeat",
  /** Unary: {@linkcode UpdateTaskStatusRequest} to {}. */
  updateTaskStatus: "dispatcher.updateTaskStatus",
  /** Server stream: {@linkcode AssignmentsRequest} to {@linkcode AssignmentsMessage}s. */
  assignments: "dispatcher.assignments",
  /** Unary: {@linkcode LogPush} to {@linkcode LogPushAnswer}, which comes when there is room for more. */
  publishLogs: "dispatcher.publishLogs",
  /** Unary: {@linkcode RenewSealsRequest} to {}. */
  renewSeals: "dispatcher.renewSeals",
  /** Unary: {@linkcode LoadedRequest} to {}. */
  loaded: "dispatcher.loaded",
  /** Unary: {@linkcode DrainedRequest} to {}, which comes when the task may be stopped. */
  drained: "dispatcher.drained",
  /** Duplex: a stream that was asked for, `StreamCall`; pieces of bytes both ways. */
  stream: "dispatcher.stream",
  /** Duplex: a connection to a task of a node that is not reached otherwise, `RelayCall`; pieces of bytes both ways. */
  relay: "dispatcher.relay",
} as const;

/** Opens a session. An ID of an earlier session keeps that session, if the manager still knows it. */
export interface SessionRequest {
  SessionID?: string;
  /** What the agent calls itself from its start to its end, drawn at random; older agents do not. */
  Agent?: string;
  /** What the agent speaks (`protocol.ts`); 1 where it is not said. */
  Protocol?: number;
  Description: NodeDescription;
  /** The kinds of asks that the agent answers; one that says nothing answers none. */
  Answers?: string[];
}

/** What a manager asks of a node besides running its tasks. */
export type Ask = LogAsk | StreamAsk | RelayAsk;

/** The kinds of asks that there are. */
export const ASK_KINDS: readonly Ask["Kind"][] = ["logs", "stream", "relay"];

/** A manager an agent may connect to. */
export interface WeightedPeer {
  NodeID: string;
  /** HOST:PORT */
  Addr: string;
  Weight: number;
}

/** Sent when the session is registered, and again whenever a part of it changes. */
export interface SessionMessage {
  SessionID: string;
  Node: Node;
  Managers: WeightedPeer[];
  /** PEM of the trust root. */
  RootCA: string;
  /** The manager's time, RFC 3339: authenticated, so it may raise a device's clock floor. */
  Time: string;
  /** All that is asked of the node now, of the kinds that its agent answers; none if absent. What is no longer there is over. */
  Asks?: Ask[];
}

/** Says that the node is alive. */
export interface HeartbeatRequest {
  SessionID: string;
  /** How the device is, if that was measured anew. */
  Metrics?: NodeMetrics;
}

/** Milliseconds until the next heartbeat is due. */
export interface HeartbeatResponse {
  PeriodMs: number;
  Time: string;
}

/** Reports what happened to tasks; a batch of at most {@linkcode MAX_STATUS_BATCH}. */
export interface UpdateTaskStatusRequest {
  SessionID: string;
  Updates: { TaskID: string; Status: TaskStatus }[];
}

/** Says that the node's rules are what an assignments message, and all before it, told of who serves. */
export interface LoadedRequest {
  SessionID: string;
  /** As in the message that asked for it. */
  Index: number;
}

/** Asks whether every node that could send something new to a task of this node has loaded that it serves no more. */
export interface DrainedRequest {
  SessionID: string;
  TaskID: string;
}

/** How long a manager waits for nodes that have not said so, milliseconds: after that they count as down, until they say it. */
export const MAX_LOAD_MS = 10_000;

/** Kinds of what is assigned. */
export type AssignmentKind = "task" | DependencyKind | NetworkAssignmentKind;

/** The keys of sealed secrets that the node holds, wrapped for its present key; at most {@linkcode MAX_SEALS}. */
export interface RenewSealsRequest {
  SessionID: string;
  Seals: RenewedSeal[];
}

/** A node wraps for itself, and for nobody else. */
export interface RenewedSeal extends Omit<NodeSeal, "NodeID"> {
  SecretID: string;
  SealID: string;
}

/** Seals in one call: about 300 bytes each. */
export const MAX_SEALS = 1000;

/** What an agent names among its kinds that can open sealed secrets: to any other, they would be the secret itself. */
export const SEALED_SECRETS = "sealed secret";

/** What an agent names among its kinds that says what it has loaded where it is asked to. */
export const LOADED_RULES = "loaded rules";

/** The kinds that our agent takes. */
export const ASSIGNMENT_KINDS: readonly string[] = [
  "task",
  ...DEPENDENCY_KINDS,
  SEALED_SECRETS,
  "network",
  "network_peer",
  "network_service",
  LOADED_RULES,
];

/** Asks for the node's assignments. */
export interface AssignmentsRequest {
  SessionID: string;
  /** The kinds that the agent knows; one that says nothing knows only tasks, and is sent nothing else. */
  Kinds?: string[];
}

/**
 * One change to what a node shall run. What tasks depend on comes before the first task that needs it, and goes after the
 * last. An agent passes over a kind that it does not know.
 */
export type AssignmentChange = TaskChange | DependencyChange | NetworkChange;

/** A change of a task. */
export type TaskChange =
  | { Action: "update"; Kind: "task"; Task: Task }
  | { Action: "remove"; Kind: "task"; ID: string };

/** A change of a secret or config. */
export type DependencyChange =
  | { Action: "update"; Kind: DependencyKind; Payload: DependencyPayload }
  | { Action: "remove"; Kind: DependencyKind; ID: string };

/** A change of a network, or of what else is in it. */
export type NetworkChange =
  | { Action: "update"; Kind: "network"; Network: AssignedNetwork }
  | { Action: "update"; Kind: "network_peer"; Peer: AssignedPeer }
  | { Action: "update"; Kind: "network_service"; Service: AssignedService }
  | { Action: "remove"; Kind: NetworkAssignmentKind; ID: string };

/**
 * The whole set, or what changed since. `AppliesTo` of an incremental message equals `ResultsIn` of the one before;
 * a gap means that the stream must be opened anew.
 */
export interface AssignmentsMessage {
  Type: "complete" | "incremental";
  AppliesTo: string;
  ResultsIn: string;
  /** Consensus index the set was read at; an agent refuses a complete set older than what it has already seen. */
  Index: number;
  /** True for every part but the last of a complete set too large for one message. */
  More?: boolean;
  /** The node is to say when its rules are as told: somebody waits for it. */
  Acknowledge?: true;
  Changes: AssignmentChange[];
}

/** Changes in one assignments message; keeps a frame far below the transport's maximum. */
export const MAX_CHANGES_PER_MESSAGE = 200;

/** Status updates in one call: 10,000 is SwarmKit's flush limit; 1,000 keeps a frame far below the transport's maximum. */
export const MAX_STATUS_BATCH = 1000;
