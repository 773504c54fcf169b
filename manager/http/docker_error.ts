/** How errors look to Docker clients: moby's status codes, and its texts with gRPC's prefix where the swarm's core speaks. */
import { showableLines } from "../../api/characters.ts";
import { CoveyError, type ErrorCode, type ErrorReason } from "../../api/errors.ts";

/** gRPC's name of a code as moby prints it; codes that moby's own layer reports carry no prefix. */
const RPC_NAMES: Partial<Record<ErrorCode, string>> = {
  already_exists: "AlreadyExists",
  failed_precondition: "FailedPrecondition",
  unimplemented: "Unimplemented",
  permission_denied: "PermissionDenied",
  resource_exhausted: "ResourceExhausted",
  deadline_exceeded: "DeadlineExceeded",
  aborted: "Unknown",
  internal: "Internal",
  data_loss: "DataLoss",
};

const STATUS: Partial<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  failed_precondition: 400,
  out_of_range: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  unimplemented: 501,
  unavailable: 503,
};

/** An answer of moby's own layer: its status and its text as they are. */
export class DockerError extends CoveyError {
  readonly status: number;

  constructor(status: number, code: ErrorCode, message: string, reason?: ErrorReason) {
    super(code, message, { reason });
    this.status = status;
  }
}

/** Texts of moby's own layer, which stand alone. */
const MOBY_TEXTS = new RegExp(
  '^(?:invalid Config: |invalid (?:RestartCondition|Availability|Role|MountType|MountPropagation|resolution mode): "|' +
    "unrecognized update |invalid name: $|Invalid subnet |must specify only one service mode$|swarm spec must be named |mismatched Runtime )",
);
/** Texts of SwarmKit's parser of constraints, which gives its errors no code. */
const CONSTRAINT_TEXTS = /^(?:constraint expected one operator|(?:key|value) '.*' is invalid$)/;
/** Texts of SwarmKit's checks of a spec. */
const SWARMKIT_TEXTS = new RegExp(
  "^(?:meta: |name must be |invalid name, only 64 |(?:secret|config) (?:data must be |driver must have a name$|references '|'[^']*' is in use )|" +
    "(?:secret|config)s? not found: |malformed |only updates to Labels |(?:TaskSpec|ContainerSpec|EndpointSpec): |invalid (?:cpu|memory) value |" +
    "port '\\d+' is already in use by service |Service cannot be explicitly attached to |driver name: if |" +
    "ingress network cannot be attachable$|ipam configuration: |error during lookup of plugin |" +
    "minimum certificate |heartbeat time |expanding |Jobs may not have an update config$|if a signing CA key is provided, |" +
    "the desired CA certificate cannot |CA certificate expires too soon$)",
);

/** What Docker says to a spec with this one problem; undefined where Docker has no such problem. */
function dockerText(problem: string): string | undefined {
  if (MOBY_TEXTS.test(problem)) return problem;
  if (CONSTRAINT_TEXTS.test(problem)) return `rpc error: code = Unknown desc = ${problem}`;
  if (SWARMKIT_TEXTS.test(problem)) return `rpc error: code = InvalidArgument desc = ${problem}`;
  return undefined;
}

/** Characters of an answer's message: what a terminal shows, not what a client sent. */
const MAX_MESSAGE_LENGTH = 16 * 1024;

/** A message as clients print it: it may quote what others sent. */
export function shownMessage(message: string): string {
  return showableLines(message.slice(0, MAX_MESSAGE_LENGTH));
}

/** How an error is answered; `reason` is for clients of ours, which decide by it. */
export interface DockerAnswer {
  status: number;
  message: string;
  reason?: ErrorReason | undefined;
}

/**
 * Status and message of anything thrown. Problems are listed with their fields; `stockClient` gets a single one that Docker
 * knows too in Docker's very words.
 */
export function dockerError(thrown: unknown, stockClient = false): DockerAnswer {
  const error = CoveyError.from(thrown), { reason } = error;
  if (error instanceof DockerError) return { status: error.status, message: error.message, reason };
  const status = STATUS[error.code] ?? 500;
  if (error.problems.length > 0) {
    const [only, second] = error.problems;
    const known = stockClient && second === undefined ? dockerText(only!.message) : undefined;
    if (known !== undefined) return { status, message: known };
    const list = error.problems.map(({ field, message }) => `${field}: ${message}`).join("; ");
    return { status, message: `rpc error: code = InvalidArgument desc = ${list}` };
  }
  const name = RPC_NAMES[error.code];
  return {
    status,
    reason,
    message: name === undefined ? error.message : `rpc error: code = ${name} desc = ${error.message}`,
  };
}
