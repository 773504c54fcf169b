/** Normalizes and validates a task's status as an agent reports it: authenticated, but not trusted to be well-behaved. */
import type { FieldProblem } from "../errors.ts";
import { SWAP_KINDS } from "../swap.ts";
import { isTaskState, stateOrder, type TaskState } from "../task_state.ts";
import { MAX_RESTARTS, type TaskStatus } from "../task.ts";
import { MAX_RUNS, RUN_STATES, type ScheduledRun } from "../schedule.ts";
import { port } from "./port.ts";
import { integer, line, list, oneOf, quoted, record, type Shape, words } from "./shape.ts";

/** Characters of `Message` and `Err`, each; they are words of programs and engines, so longer ones are cut. */
const MAX_STATUS_TEXT = 4096;
/** Characters of why one run of a scheduled job failed; the newest is in `Err` in full. */
const MAX_RUN_REASON = 512;
/** Ports of one status: as many as a device could forward by hand, and 30 KB of every manager's memory. */
const MAX_STATUS_PORTS = 256;
/** Characters of a container's ID: a SHA-256 in hexadecimal, or a name. */
const MAX_CONTAINER_ID_LENGTH = 256;
/** Characters of a time, with a zone and nanoseconds. */
const MAX_TIME_LENGTH = 64;
/** Linux has process IDs of 22 bits, Windows of 32. */
const MAX_PID = 2 ** 32 - 1;

const reportedState: Shape<TaskState> = (value, path, problems) => {
  if (typeof value !== "string" || !isTaskState(value)) {
    problems.push({ field: path, message: `is not a task state: ${quoted(value)}` });
  } else if (stateOrder(value) < stateOrder("accepted") || stateOrder(value) >= stateOrder("remove")) {
    problems.push({ field: path, message: `is not a state that an agent sets: ${value}` });
  } else return value;
};

// Signed or not: Windows has exit codes of 32 bits.
const exitCode = integer(-(2 ** 31), 2 ** 32 - 1);

const runFields = record({
  Scheduled: line(MAX_TIME_LENGTH),
  State: oneOf(RUN_STATES),
  StartedAt: line(MAX_TIME_LENGTH),
  EndedAt: line(MAX_TIME_LENGTH),
  ExitCode: exitCode,
  Reason: words(MAX_RUN_REASON),
}, ["Scheduled", "State"]);
const run: Shape<ScheduledRun> = (value, path, problems) => {
  const { Scheduled, State, ...rest } = runFields(value, path, problems) ?? {};
  return Scheduled === undefined || State === undefined ? undefined : { Scheduled, State, ...rest };
};

const shape = record({
  State: reportedState,
  Timestamp: line(MAX_TIME_LENGTH),
  Message: words(MAX_STATUS_TEXT),
  Err: words(MAX_STATUS_TEXT),
  ContainerStatus: record({
    ContainerID: line(MAX_CONTAINER_ID_LENGTH),
    PID: integer(0, MAX_PID),
    ExitCode: exitCode,
  }),
  PortStatus: record({ Ports: list(port, MAX_STATUS_PORTS) }),
  Swap: record({ Kind: oneOf(SWAP_KINDS), Reason: words(MAX_STATUS_TEXT), Until: line(MAX_TIME_LENGTH) }, [
    "Kind",
    "Reason",
  ]),
  Restarts: list(line(MAX_TIME_LENGTH), MAX_RESTARTS),
  Runs: list(run, MAX_RUNS),
}, ["State", "Timestamp", "Message"]);

/** The status to store; undefined after a problem. Unknown fields are dropped. */
export function parseTaskStatus(
  value: unknown,
  path: string,
  problems: FieldProblem[],
): TaskStatus | undefined {
  const { State, Timestamp, Message, Err, ContainerStatus, PortStatus, Swap, Restarts = [], Runs = [] } =
    shape(value, path, problems) ?? {};
  if (State === undefined || Timestamp === undefined || Message === undefined) return undefined;
  return {
    Timestamp,
    State,
    Message,
    ...(Err && { Err }),
    ...(ContainerStatus && { ContainerStatus: { ContainerID: "", PID: 0, ExitCode: 0, ...ContainerStatus } }),
    ...(PortStatus?.Ports && {
      PortStatus: {
        Ports: PortStatus.Ports.map((each) => ({
          Protocol: "tcp",
          TargetPort: 0,
          PublishMode: "host",
          ...each,
        })),
      },
    }),
    ...(Swap?.Kind && Swap.Reason && {
      Swap: { Kind: Swap.Kind, Reason: Swap.Reason, ...(Swap.Until && { Until: Swap.Until }) },
    }),
    ...(Restarts.length > 0 && { Restarts }),
    ...(Runs.length > 0 && { Runs }),
  };
}
