/**
 * What the two tasks of a swap may do on their device. Pure: read from what is kept of both, so that an agent that was
 * killed, or a device that lost its power, goes on where it was.
 *
 *     old   runs ─────────► rests ─────────────► ends (proven), or runs again
 *     new   is prepared ──► waits for that ────► runs, is watched; ends where it fails
 *                begun ──┘    (at once where the old one need not rest)
 */
import { compareStates, isTerminal, type TaskState } from "../api/task_state.ts";
import type { TaskRecord } from "./local_state.ts";

/** What a task may do because of a swap, where it is less than its manager wants. */
export type Hold =
  /** Stop its program, and run it again if need be. */
  | "rest"
  /** End: another has taken its place. */
  | "end"
  /** Not even be made ready. */
  | "wait"
  /** Be made ready, and no more. */
  | "prepare"
  | undefined;

/** True while `record` is a task that its manager wants, and that has not ended. */
export function isAlive({ task, status, assigned }: TaskRecord): boolean {
  return assigned && compareStates(task.DesiredState, "complete") <= 0 && !isTerminal(status.State);
}

/** True while the new task is watched: its end then is the end of the swap. */
export function isTrial(next: TaskRecord, old: TaskRecord | undefined): boolean {
  return next.swap?.begun === true && !next.swap.proven && old !== undefined && isAlive(old);
}

/** What the task that is to be kept may do, as far as `next` goes. */
export function holdOfOld(next: TaskRecord): Hold {
  if (next.swap?.proven) return "end";
  if (next.swap?.begun === undefined || next.task.Swap?.StartFirst) return undefined;
  // Also one that shall end may still have what the old one needs.
  return isTerminal(next.status.State) ? undefined : "rest";
}

/** What the new task may do; `old` is undefined where the device does not have it any more. */
export function holdOfNext(next: TaskRecord, old: TaskRecord | undefined): Hold {
  if (old === undefined || next.swap?.proven) return undefined;
  if (!isAlive(old)) {
    // It is not to be kept: told to end by the manager, which else decides what follows it.
    const isOver = isTerminal(old.status.State);
    return isOver && (next.swap?.begun || !isAssigned(old)) ? undefined : "prepare";
  }
  if (!next.swap?.begun) return "prepare";
  return next.task.Swap?.StartFirst || old.resting ? undefined : "prepare";
}

function isAssigned({ task, assigned }: TaskRecord): boolean {
  return assigned && compareStates(task.DesiredState, "complete") <= 0;
}

/** What of `desired` a hold leaves. */
export function wantedUnder(hold: Hold, desired: TaskState): TaskState {
  if (hold === "end") return "shutdown";
  return (hold === "prepare" || hold === "wait") && compareStates(desired, "ready") > 0 ? "ready" : desired;
}
