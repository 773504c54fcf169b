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

/**
 * Why a call failed, where somebody decides by it: a closed set, so that nobody has to look for words in a message.
 *
 * - `not_leading`: nothing was done, because another manager leads or leadership is being handed over; ask again.
 * - `no_leader`: nothing was done, because the swarm has no leader.
 * - `unsent`: the request has not left this side; it may be made again.
 * - `outcome_unknown`: the request was sent and no answer came; it may have been carried out.
 * - `wrong_state`: the node is not in the state that the call needs; asking again is in vain.
 * - `not_in_cluster`: the cluster has removed the caller's node, or does not know it; only joining anew helps.
 * - `dates`: a certificate is not valid at the time that this side's clock shows; either may be wrong, and a clock may be set.
 * - `twin`: another device has the caller's key, and its place in the cluster; only joining anew helps one of them.
 * - `former_root`: the certificate is by a root that was replaced; its node may renew it, and nothing else.
 * - `no_manager`: the caller's node is no manager, or no longer one; what it hands on is not done.
 */
export type ErrorReason =
  | "not_leading"
  | "no_leader"
  | "unsent"
  | "outcome_unknown"
  | "wrong_state"
  | "not_in_cluster"
  | "twin"
  | "no_manager"
  | "former_root"
  | "dates";

const REASONS: Record<ErrorReason, true> = {
  not_leading: true,
  no_leader: true,
  unsent: true,
  outcome_unknown: true,
  wrong_state: true,
  not_in_cluster: true,
  twin: true,
  no_manager: true,
  former_root: true,
  dates: true,
};

/** The reason that `value`, from the wire, names; undefined if it is none. */
export function asReason(value: unknown): ErrorReason | undefined {
  return typeof value === "string" && Object.hasOwn(REASONS, value) ? value as ErrorReason : undefined;
}

/** One problem in an input: the path of the field (`TaskTemplate.ContainerSpec.Image`) and what is wrong with it. */
export interface FieldProblem {
  field: string;
  message: string;
}

/** Problems that are listed: more than anybody mends at a time, and an answer that stays short. */
const MAX_PROBLEMS = 100;

/** Options of {@linkcode CoveyError}. */
export interface CoveyErrorOptions {
  /** Whether the same call can succeed later without being changed. Default: true for `unavailable` only. */
  retryable?: boolean;
  /** Why, where somebody decides by it. */
  reason?: ErrorReason | undefined;
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
  readonly reason: ErrorReason | undefined;
  readonly problems: FieldProblem[];

  constructor(code: ErrorCode, message: string, options: CoveyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? code === "unavailable";
    this.reason = options.reason;
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

  /** An `invalid_argument` error that lists all `problems`, or the first {@linkcode MAX_PROBLEMS}. */
  static invalid(action: string, all: FieldProblem[]): CoveyError {
    const problems = all.slice(0, MAX_PROBLEMS), more = all.length - problems.length;
    const list = problems.map((p) => `${p.field}: ${p.message}`).join("; ") +
      (more > 0 ? `; and ${more} more` : "");
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
