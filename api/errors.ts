/**
 * The one error class of the project. Boundaries (transport, store, executors, HTTP) translate to and from it.
 *
 * Codes are gRPC's, because SwarmKit's behaviours are written in them.
 */

/**
 * Closed set of error codes, in gRPC's spelling.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const code: ErrorCode = "unavailable";
 * assert.equal(new CoveyError(code, "Cannot pull nginx: no route to host").retryable, true);
 * ```
 */
export type ErrorCode =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** One problem in an input: the path of the field (`TaskTemplate.ContainerSpec.Image`) and what is wrong with it. */
export interface FieldProblem {
  field: string;
  message: string;
}

/** Options of {@linkcode CoveyError}. */
export interface CoveyErrorOptions {
  /** Whether the same call can succeed later without being changed. Default: true for `unavailable` only. */
  retryable?: boolean;
  /** Every problem found, for `invalid_argument`. */
  problems?: FieldProblem[];
  /** What happened below; stays on this side of the wire. */
  cause?: unknown;
}

/**
 * An error with a closed code. `message` reads `Cannot …: …` and has no final period.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const error = new CoveyError("not_found", "Cannot start the task: there is no image nginx:0");
 * assert.equal(error.retryable, false);
 * assert.equal(CoveyError.from(error), error);
 * assert.equal(CoveyError.from(new Error("disk full")).code, "internal");
 * ```
 */
export class CoveyError extends Error {
  override readonly name = "CoveyError";
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly problems: FieldProblem[];

  constructor(code: ErrorCode, message: string, options: CoveyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? code === "unavailable";
    this.problems = options.problems ?? [];
  }

  /** Turns anything thrown into a {@linkcode CoveyError}; one that already is stays the same object. */
  static from(thrown: unknown, code: ErrorCode = "internal"): CoveyError {
    if (thrown instanceof CoveyError) return thrown;
    if (thrown instanceof DOMException && thrown.name === "AbortError") {
      return new CoveyError("canceled", thrown.message, { cause: thrown });
    }
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new CoveyError(code, message, { cause: thrown });
  }

  /** An `invalid_argument` error that lists all `problems`. */
  static invalid(action: string, problems: FieldProblem[]): CoveyError {
    const list = problems.map((p) => `${p.field}: ${p.message}`).join("; ");
    return new CoveyError("invalid_argument", `Cannot ${action}: ${list}`, { problems });
  }
}

/**
 * True if `thrown` is a {@linkcode CoveyError} with one of `codes`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const gone: unknown = new CoveyError("not_found", "Cannot remove the task: it is not there");
 * assert.ok(hasCode(gone, "not_found", "unavailable"));
 * assert.ok(!hasCode(new Error("not_found"), "not_found"));
 * ```
 */
export function hasCode(thrown: unknown, ...codes: ErrorCode[]): thrown is CoveyError {
  return thrown instanceof CoveyError && codes.includes(thrown.code);
}
