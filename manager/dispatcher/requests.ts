/** Checks of what agents send: a node is authenticated, but not trusted to be well-behaved. */
import {
  type AssignmentsRequest,
  type HeartbeatRequest,
  MAX_STATUS_BATCH,
  type SessionRequest,
  type UpdateTaskStatusRequest,
} from "../../api/dispatcher.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { isTaskState, stateOrder } from "../../api/task_state.ts";
import type { TaskStatus } from "../../api/task.ts";
import { parseNodeDescription } from "../../api/validate/mod.ts";

/** Characters of a description as JSON; every node's is held in every manager's memory and log. */
const MAX_DESCRIPTION_SIZE = 32 * 1024;
/** Characters of a status's `Message` and `Err`, each; longer ones are cut. */
const MAX_STATUS_TEXT = 4096;

type Fields = Record<string, unknown>;

/** Checks a session request; throws `invalid_argument` naming every wrong field. */
export function checkSessionRequest(value: unknown): SessionRequest {
  const problems: FieldProblem[] = [];
  const request = fields(value, "request", problems);
  if (request["SessionID"] !== undefined) text(request, "SessionID", "", problems);
  const description = parseNodeDescription(request["Description"], "Description", problems);
  const size = JSON.stringify(description).length;
  if (size > MAX_DESCRIPTION_SIZE) {
    problems.push({
      field: "Description",
      message: `is ${size} characters, at most ${MAX_DESCRIPTION_SIZE} allowed`,
    });
  }
  if (problems.length > 0) throw CoveyError.invalid("open a session", problems);
  return {
    ...(request["SessionID"] === undefined ? {} : { SessionID: request["SessionID"] as string }),
    Description: description,
  };
}

/** Checks a request that carries only the session's ID. */
export function checkSessionID(action: string, value: unknown): HeartbeatRequest & AssignmentsRequest {
  const problems: FieldProblem[] = [];
  const request = fields(value, "request", problems);
  text(request, "SessionID", "", problems);
  if (problems.length > 0) throw CoveyError.invalid(action, problems);
  return { SessionID: request["SessionID"] as string };
}

/** Checks a status update: states that an agent may report, texts cut to their maximum. */
export function checkStatusUpdate(value: unknown): UpdateTaskStatusRequest {
  const problems: FieldProblem[] = [];
  const request = fields(value, "request", problems);
  text(request, "SessionID", "", problems);
  const updates = request["Updates"];
  const checked: UpdateTaskStatusRequest["Updates"] = [];
  if (!Array.isArray(updates)) {
    problems.push({ field: "Updates", message: "must be a list" });
  } else if (updates.length > MAX_STATUS_BATCH) {
    problems.push({
      field: "Updates",
      message: `has ${updates.length} entries, at most ${MAX_STATUS_BATCH} allowed`,
    });
  } else {
    updates.forEach((update, i) => {
      const item = fields(update, `Updates[${i}]`, problems);
      text(item, "TaskID", `Updates[${i}].`, problems);
      const status = checkStatus(item["Status"], `Updates[${i}].Status`, problems);
      if (status) checked.push({ TaskID: item["TaskID"] as string, Status: status });
    });
  }
  if (problems.length > 0) throw CoveyError.invalid("update task status", problems);
  return { SessionID: request["SessionID"] as string, Updates: checked };
}

function checkStatus(value: unknown, path: string, problems: FieldProblem[]): TaskStatus | undefined {
  const status = fields(value, path, problems);
  const before = problems.length;
  const state = status["State"];
  if (typeof state !== "string" || !isTaskState(state)) {
    problems.push({ field: `${path}.State`, message: `is not a task state: ${String(state)}` });
  } else if (stateOrder(state) < stateOrder("accepted") || stateOrder(state) >= stateOrder("remove")) {
    problems.push({ field: `${path}.State`, message: `is not a state that an agent sets: ${state}` });
  }
  text(status, "Timestamp", `${path}.`, problems);
  text(status, "Message", `${path}.`, problems);
  if (status["Err"] !== undefined) text(status, "Err", `${path}.`, problems);
  if (problems.length > before) return undefined;
  const checked = status as unknown as TaskStatus;
  const err = checked.Err?.slice(0, MAX_STATUS_TEXT);
  return {
    Timestamp: checked.Timestamp,
    State: checked.State,
    Message: checked.Message.slice(0, MAX_STATUS_TEXT),
    ...(err ? { Err: err } : {}),
    ...(checked.ContainerStatus ? { ContainerStatus: checked.ContainerStatus } : {}),
    ...(checked.PortStatus ? { PortStatus: checked.PortStatus } : {}),
  };
}

function fields(value: unknown, path: string, problems: FieldProblem[]): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  problems.push({ field: path, message: "must be an object" });
  return {};
}

function text(object: Fields, name: string, path: string, problems: FieldProblem[]): void {
  if (typeof object[name] !== "string") problems.push({ field: path + name, message: "must be a string" });
}
