import { showableLines } from "../api/characters.ts";
import { asReason, CoveyError, type ErrorCode, type FieldProblem } from "../api/errors.ts";
import { MAX_ERROR_MESSAGE_LENGTH, MAX_ERROR_PROBLEMS } from "./limits.ts";

const CODES: Record<ErrorCode, true> = {
  canceled: true,
  unknown: true,
  invalid_argument: true,
  deadline_exceeded: true,
  not_found: true,
  already_exists: true,
  permission_denied: true,
  resource_exhausted: true,
  failed_precondition: true,
  aborted: true,
  out_of_range: true,
  unimplemented: true,
  internal: true,
  unavailable: true,
  data_loss: true,
  unauthenticated: true,
};

/** Text that may be logged and printed: it often quotes what somebody sent. */
function cut(text: string): string {
  return text.length <= MAX_ERROR_MESSAGE_LENGTH
    ? showableLines(text)
    : `${showableLines(text.slice(0, MAX_ERROR_MESSAGE_LENGTH - 1))}…`;
}

/** An error as it crosses the wire: without its cause, and cut to the limits. */
export function errorToWire(error: CoveyError): object {
  const problems = error.problems.slice(0, MAX_ERROR_PROBLEMS).map((problem) => ({
    field: cut(problem.field),
    message: cut(problem.message),
  }));
  const { code, message, retryable, reason } = error;
  // A call of ours that was not sent says nothing about the call that is answered with it.
  const told = reason === undefined || reason === "unsent" ? {} : { reason };
  return { code, message: cut(message), retryable, problems, ...told };
}

function problemFromWire(value: unknown): FieldProblem[] {
  if (typeof value !== "object" || value === null) return [];
  const { field, message } = value as Partial<FieldProblem>;
  return typeof field === "string" && typeof message === "string" ? [{ field, message }] : [];
}

/** An error from the wire; whatever is missing or strange becomes `unknown`. */
export function errorFromWire(value: unknown): CoveyError {
  const record = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const known = typeof record.code === "string" && Object.hasOwn(CODES, record.code);
  const code = known ? record.code as ErrorCode : "unknown";
  const message = typeof record.message === "string" ? cut(record.message) : "The peer gave no reason";
  const problems = Array.isArray(record.problems)
    ? record.problems.slice(0, MAX_ERROR_PROBLEMS).flatMap(problemFromWire)
    : [];
  const named = asReason(record.reason);
  const reason = named === "unsent" ? undefined : named;
  return new CoveyError(code, message, { problems, retryable: record.retryable === true, reason });
}
