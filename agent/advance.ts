/**
 * The steps of a task's life on its node (SwarmKit `exec.Do`). Pure: says which controller call is next and which state
 * its outcome leads to; `TaskManager` makes the calls.
 */
import { CoveyError } from "../api/errors.ts";
import { compareStates, isTerminal, type TaskState } from "../api/task_state.ts";
import type { Exit } from "../executors/executor.ts";

/** A controller call that can be a task's next step. */
export type ControllerCall = "prepare" | "start" | "wait" | "shutdown";

/** What to do next: nothing until something changes, move to a state, or make one controller call. */
export type Step =
  | { kind: "idle" }
  | { kind: "move"; state: TaskState; message: string }
  | { kind: "call"; call: ControllerCall };

const IDLE: Step = { kind: "idle" };

/** The next step of a task in `state` of which `desired` is wanted. */
export function nextStep(desired: TaskState, state: TaskState): Step {
  if (isTerminal(state)) return IDLE;
  if (compareStates(desired, "shutdown") >= 0) return { kind: "call", call: "shutdown" };
  switch (state) {
    case "preparing":
      return { kind: "call", call: "prepare" };
    case "ready":
      if (compareStates(desired, "ready") <= 0) return IDLE;
      return { kind: "move", state: "starting", message: "starting" };
    case "starting":
      return { kind: "call", call: "start" };
    case "running":
      return { kind: "call", call: "wait" };
    case "accepted":
      return { kind: "move", state: "preparing", message: "preparing" };
    default:
      return { kind: "move", state: "accepted", message: "accepted" };
  }
}

/** What a controller call led to. `state` undefined: the same call again later. */
export interface Outcome {
  state: TaskState | undefined;
  message: string;
  err?: string;
  exitCode?: number;
}

/** The outcome of a call that succeeded; `exit` is that of `wait`. */
export function afterSuccess(call: ControllerCall, exit?: Exit): Outcome {
  switch (call) {
    case "prepare":
      return { state: "ready", message: "prepared" };
    case "start":
      return { state: "running", message: "started" };
    case "shutdown":
      return { state: "shutdown", message: "shutdown" };
    case "wait":
      return afterExit(exit ?? { ExitCode: 0 });
  }
}

/** The outcome of a call that threw: again later, rejected before `start`, failed from `start` on. */
export function afterError(call: ControllerCall, thrown: unknown): Outcome {
  const error = CoveyError.from(thrown);
  const err = error.message;
  if (error.retryable || error.code === "canceled") {
    return { state: undefined, message: `retrying: ${call}`, err };
  }
  if (call === "prepare") return { state: "rejected", message: "preparing", err };
  return { state: "failed", message: call === "start" ? "starting" : call, err };
}

function afterExit(exit: Exit): Outcome {
  if (exit.ExitCode === 0) return { state: "complete", message: "finished", exitCode: 0 };
  const err = `task: non-zero exit (${exit.ExitCode})${exit.Reason ? `: ${exit.Reason}` : ""}`;
  return { state: "failed", message: "started", err, exitCode: exit.ExitCode };
}
