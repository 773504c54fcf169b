/** Swaps that devices make by themselves, as the manager sees them: both tasks are wanted until the device says how it ended. */
import { MILLISECOND_NS } from "../../api/duration.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";
import type { TaskSwap } from "../../api/swap.ts";
import type { ReadView, WriteTransaction } from "../store/store.ts";
import { isTaskDirty, isWanted } from "./task.ts";
import { rolloutConfig } from "../../api/rollout_labels.ts";
import type { Service } from "../../api/service.ts";

/** True for a task that its device has not begun to swap in, as far as is known: it can be taken back. */
export function isPending(task: Task): boolean {
  return task.Swap !== undefined && isWanted(task) && compareStates(task.Status.State, "ready") <= 0;
}

/** True for a task that waits for the word to begin, and for nothing else. */
export function isPrepared(task: Task): boolean {
  return isPending(task) && task.DesiredState === "ready" && task.Status.State === "ready";
}

/** True if the device has yet to say how the swap of `next` ended: the task before it is there. */
export function isUnderWay(next: Task, live: readonly Task[]): boolean {
  return next.Swap !== undefined && !isTerminal(next.Status.State) &&
    live.some(({ ID, Status }) => ID === next.Swap?.With && !isTerminal(Status.State));
}

/**
 * True if the end of `task` is the end of a swap, so that nothing follows it: the new one failed where the old one goes on,
 * or the old one gave way. `slot` are the tasks of its place.
 */
export function isSwapped(task: Task, slot: readonly Task[]): boolean {
  const others = slot.filter((other) => other.ID !== task.ID && isWanted(other));
  if (task.Swap !== undefined) return others.length > 0;
  return others.some((other) =>
    other.Swap?.With === task.ID && !isPending(other) && !isTerminal(other.Status.State)
  );
}

/** `replacement` follows `task`, which ended: what was to be swapped with the one is swapped with the other. */
export function handOn(tx: WriteTransaction, task: Task, replacement: Task, slot: readonly Task[]): void {
  for (const other of slot) {
    if (other.Swap?.With !== task.ID || !isWanted(other)) continue;
    tx.update("tasks", { ...other, Swap: { ...other.Swap, With: replacement.ID } });
  }
}

/** What of an update's policy a swap follows. */
interface SwapPolicy {
  /** How long the new task is watched. */
  monitorMs: number;
  startFirst: boolean;
  /** It goes back to an earlier version: no window and nobody's consent is waited for. */
  rollback: boolean;
}

/**
 * How the device of `live`, the wanted tasks of a place, swaps in a task of `service`; undefined if it is not to, or cannot.
 * Where the version to go back to failed on the device before, that one keeps what it has.
 */
export function swapOf(
  view: ReadView,
  service: Service,
  live: readonly Task[],
  { monitorMs, startFirst, rollback }: SwapPolicy,
): TaskSwap | undefined {
  const { DeviceRollback: deadline, Download, Apply, Consent } = rolloutConfig(service.Spec) ?? {};
  const old = live.find((task) =>
    isWanted(task) && task.Status.State === "running" && isTaskDirty(view, service, task)
  );
  if (deadline === undefined || old === undefined || old.Slot !== undefined) return undefined;
  if (!view.get("nodes", old.NodeID)?.Description?.Swaps) return undefined;
  return {
    With: old.ID,
    Deadline: deadline,
    Monitor: monitorMs * MILLISECOND_NS,
    ...(startFirst && { StartFirst: true }),
    ...(Download && !rollback && { Download }),
    ...(Apply && !rollback && { Apply }),
    ...(Consent && !rollback && { Consent: true }),
  };
}
