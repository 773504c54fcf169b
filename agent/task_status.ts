/** The status that a task is reported with. */
import { CoveyError, type FieldProblem } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { PortConfig } from "../api/service.ts";
import type { ScheduledRun } from "../api/schedule.ts";
import type { SwapReport } from "../api/swap.ts";
import { compareStates, type TaskState } from "../api/task_state.ts";
import type { ContainerStatus, Task, TaskStatus } from "../api/task.ts";
import type { Controller } from "../executors/executor.ts";
import { parseTaskStatus } from "../api/validate/task_status.ts";

const log = getLogger(["covey", "agent"]);

/** What happened to a task. */
export interface News {
  /** RFC 3339. */
  at: string;
  state: TaskState;
  message: string;
  err: string | undefined;
  container: ContainerStatus | undefined;
  /** Undefined until its executor was asked. */
  ports: PortConfig[] | undefined;
  swap: SwapReport | undefined;
  restarts: readonly string[];
  /** Undefined: those told of before. */
  runs?: readonly ScheduledRun[] | undefined;
}

/** The status after `before`; undefined if there is nothing new. A state never goes back. */
export function statusAfter(before: TaskStatus, news: News): TaskStatus | undefined {
  const { at, state, message, err, container, ports, swap, restarts, runs = before.Runs ?? [] } = news;
  const State = compareStates(state, before.State) < 0 ? before.State : state;
  const same = State === before.State && message === before.Message && err === before.Err &&
    JSON.stringify(swap) === JSON.stringify(before.Swap) &&
    restarts.length === (before.Restarts?.length ?? 0) &&
    JSON.stringify(runs) === JSON.stringify(before.Runs ?? []);
  if (same) return undefined;
  // Ports are a running task's; one that was found again still has those of before.
  const Ports = State === "running" ? ports ?? before.PortStatus?.Ports ?? [] : [];
  return {
    Timestamp: at,
    State,
    Message: message,
    ...(err ? { Err: err } : {}),
    ...(container ? { ContainerStatus: container } : {}),
    ...(Ports.length > 0 ? { PortStatus: { Ports } } : {}),
    ...(swap ? { Swap: swap } : {}),
    ...(restarts.length > 0 ? { Restarts: [...restarts] } : {}),
    ...(runs.length > 0 ? { Runs: [...runs] } : {}),
  };
}

/** What the executor tells of the running thing; what it told before, where it does not answer. */
export async function containerOf(
  controller: Controller | undefined,
  { ContainerStatus: before }: TaskStatus,
  exitCode?: number,
): Promise<ContainerStatus | undefined> {
  const status = await controller?.status().catch(() => undefined) ?? before;
  return exitCode === undefined ? status : { ContainerID: "", PID: 0, ...status, ExitCode: exitCode };
}

/** The host's ports of a running task; where the executor does not tell, they are what the service says. */
export async function portsOf(controller: Controller | undefined, { Ports }: Task): Promise<PortConfig[]> {
  const asked = Ports?.filter(({ PublishedPort }) => PublishedPort !== undefined) ?? [];
  return await controller?.ports?.().catch(() => undefined) ?? asked;
}

/** An executor's words and numbers as a manager takes them; a status that it refuses would never arrive. */
export function checkedStatus(taskID: string, status: TaskStatus): TaskStatus {
  const problems: FieldProblem[] = [];
  const checked = parseTaskStatus(status, "", problems);
  if (checked && problems.length === 0) return checked;
  const { message } = CoveyError.invalid("report what the executor says", problems);
  log.warn("Task {id} is reported without its container's status: {message}", { id: taskID, message });
  const { ContainerStatus: _refused, PortStatus: _ports, ...rest } = status;
  return rest;
}
