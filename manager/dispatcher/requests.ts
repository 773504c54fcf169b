/** Checks of what agents send: a node is authenticated, but not trusted to be well-behaved. */
import {
  type AssignmentsRequest,
  type DrainedRequest,
  type HeartbeatRequest,
  type LoadedRequest,
  MAX_SEALS,
  MAX_STATUS_BATCH,
  type RenewedSeal,
  type RenewSealsRequest,
  type SessionRequest,
  type UpdateTaskStatusRequest,
} from "../../api/dispatcher.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import type { LogPush } from "../../api/logs.ts";
import type { RelayCall } from "../../api/relay.ts";
import type { StreamCall } from "../../api/streams.ts";
import { parseNodeMetrics } from "../../api/node_metrics.ts";
import {
  integer,
  ipv4Address,
  line,
  list,
  MAX_WRAPPED_LENGTH,
  parseLogPush,
  parseNodeDescription,
  parseStreamCall,
  parseTaskStatus,
  record,
  type Shape,
} from "../../api/validate/mod.ts";

/** Characters of a description as JSON; every node's is held in every manager's memory and log. */
const MAX_DESCRIPTION_SIZE = 32 * 1024;
/** Characters of an ID: ours have 25. */
const MAX_ID_LENGTH = 64;

const id = line(MAX_ID_LENGTH);
const heartbeatShape = record({ SessionID: id, Metrics: parseNodeMetrics }, ["SessionID"]);
/** A version beyond it is none. */
const MAX_PROTOCOL = 1_000_000;
/** Kinds that an agent may name: more than there will be. */
const MAX_KINDS = 32;
const assignmentsShape = record({ SessionID: id, Kinds: list(id, MAX_KINDS) }, ["SessionID"]);
type Update = UpdateTaskStatusRequest["Updates"][number];

const updateFields = record({ TaskID: id, Status: parseTaskStatus }, ["TaskID", "Status"]);
const update: Shape<Update> = (value, path, problems) => {
  const { TaskID, Status } = updateFields(value, path, problems) ?? {};
  return TaskID === undefined || Status === undefined ? undefined : { TaskID, Status };
};
const updatesShape = record({ SessionID: id, Updates: list(update, MAX_STATUS_BATCH) }, ["SessionID"]);
// A description has a reader of its own.
const openShape = record({
  SessionID: id,
  Agent: id,
  Protocol: integer(1, MAX_PROTOCOL),
  Description: (value) => ({ value }),
  Answers: list(id, MAX_KINDS),
});

const sealFields = record(
  { SecretID: id, SealID: id, PublicKeyDigest: id, Wrapped: line(MAX_WRAPPED_LENGTH) },
  ["SecretID", "SealID", "PublicKeyDigest", "Wrapped"],
);
const sealsShape = record({ SessionID: id, Seals: list(sealFields, MAX_SEALS) }, ["SessionID"]);

/** Checks seals that a node has renewed for itself. */
export function checkSeals(value: unknown): RenewSealsRequest {
  const problems: FieldProblem[] = [];
  const { SessionID, Seals = [] } = sealsShape(value, "", problems) ?? {};
  if (problems.length > 0) throw CoveyError.invalid("renew seals", problems);
  return { SessionID: SessionID!, Seals: Seals as RenewedSeal[] };
}

/** Checks a session request; throws `invalid_argument` naming every wrong field. */
export function checkSessionRequest(value: unknown): SessionRequest {
  const problems: FieldProblem[] = [];
  const { SessionID, Agent, Protocol, Description, Answers } = openShape(value, "", problems) ?? {};
  const description = parseNodeDescription(Description?.value, "Description", problems);
  const size = JSON.stringify(description).length;
  if (size > MAX_DESCRIPTION_SIZE) {
    problems.push({
      field: "Description",
      message: `is ${size} characters, at most ${MAX_DESCRIPTION_SIZE} allowed`,
    });
  }
  if (problems.length > 0) throw CoveyError.invalid("open a session", problems);
  return {
    ...(SessionID !== undefined && { SessionID }),
    ...(Agent !== undefined && { Agent }),
    ...(Protocol !== undefined && { Protocol }),
    Description: description,
    ...(Answers !== undefined && { Answers }),
  };
}

/** Checks a heartbeat. */
export function checkHeartbeat(value: unknown): HeartbeatRequest {
  const problems: FieldProblem[] = [];
  const { SessionID, Metrics } = heartbeatShape(value, "", problems) ?? {};
  if (problems.length > 0) throw CoveyError.invalid("take a heartbeat", problems);
  return { SessionID: SessionID!, ...(Metrics !== undefined && { Metrics }) };
}

/** Checks a request for assignments. */
export function checkAssignmentsRequest(value: unknown): AssignmentsRequest {
  const problems: FieldProblem[] = [];
  const { SessionID, Kinds } = assignmentsShape(value, "", problems) ?? {};
  if (problems.length > 0) throw CoveyError.invalid("open assignments", problems);
  return { SessionID: SessionID!, ...(Kinds !== undefined && { Kinds }) };
}

const loadedShape = record({ SessionID: id, Index: integer(0, Number.MAX_SAFE_INTEGER) }, [
  "SessionID",
  "Index",
]);
const drainedShape = record({ SessionID: id, TaskID: id }, ["SessionID", "TaskID"]);

/** Checks what a node says that it has loaded. */
export function checkLoaded(value: unknown): LoadedRequest {
  const problems: FieldProblem[] = [];
  const request = loadedShape(value, "", problems);
  if (problems.length > 0) throw CoveyError.invalid("note what is loaded", problems);
  return request as LoadedRequest;
}

/** Checks a question whether a task may be stopped. */
export function checkDrained(value: unknown): DrainedRequest {
  const problems: FieldProblem[] = [];
  const request = drainedShape(value, "", problems);
  if (problems.length > 0) throw CoveyError.invalid("drain a task", problems);
  return request as DrainedRequest;
}

/** Checks a status update: states that an agent may report, words cut to their maximum. */
export function checkStatusUpdate(value: unknown): UpdateTaskStatusRequest {
  const problems: FieldProblem[] = [];
  const { SessionID, Updates = [] } = updatesShape(value, "", problems) ?? {};
  if (problems.length > 0) throw CoveyError.invalid("update task status", problems);
  return { SessionID: SessionID!, Updates };
}

/** Checks a push of logs. Whose tasks they are of is for who asked to know. */
export function checkLogPush(value: unknown): LogPush {
  const problems: FieldProblem[] = [];
  const push = parseLogPush(value, problems);
  if (problems.length > 0) throw CoveyError.invalid("take logs", problems);
  return push as LogPush;
}

const relayShape = record(
  { SessionID: id, NetworkID: id, Address: ipv4Address, Port: integer(1, 65_535) },
  ["SessionID", "NetworkID", "Address", "Port"],
);

/** Checks what an agent's call for a connection begins with. */
export function checkRelayCall(value: unknown): RelayCall {
  const problems: FieldProblem[] = [];
  const call = relayShape(value, "", problems);
  if (problems.length > 0) throw CoveyError.invalid("relay", problems);
  return call as RelayCall;
}

/** Checks what an agent's call for a stream begins with. */
export function checkStreamCall(value: unknown): StreamCall {
  const problems: FieldProblem[] = [];
  const call = parseStreamCall(value, problems);
  if (problems.length > 0) throw CoveyError.invalid("open a stream", problems);
  return call as StreamCall;
}
