/**
 * How a device swaps a task for its successor by itself: the old one is kept until the new one has proved itself, and run
 * again if it does not. Both tasks are wanted until then; the device says how it ended.
 *
 *     waiting ──► begun ──► proven: the old task ends (`shutdown`)
 *        │          └─────► failed (`rolled_back`): the old task runs again, as before
 *        └─ a reason not to begin now: told in the status, and looked at again
 */

import type { MaintenanceWindow } from "./window.ts";

/** What a task carries that a device shall swap in. Durations in nanoseconds. */
export interface TaskSwap {
  /** ID of the task that is kept to go back to. */
  With: string;
  /** From the moment the old task is told to stop until the new one runs, and is healthy where it has a health check. */
  Deadline: number;
  /** How long the new task must then run. */
  Monitor: number;
  /** The old task runs until the new one has proved itself. */
  StartFirst?: true;
  /** It is tried although the device remembers that it failed there. */
  Retry?: true;
  /** When the new task may be made ready. */
  Download?: MaintenanceWindow;
  /** When the swap may begin. */
  Apply?: MaintenanceWindow;
  /** Somebody at the device has to agree. */
  Consent?: true;
}

/** Why a device does not begin a swap now. */
const HOLDS = ["remembered_bad", "ineligible", "locked", "window", "consent"] as const;
/** The words of {@linkcode SwapReport.Kind}. */
export const SWAP_KINDS = [...HOLDS, "rolled_back"] as const;

/** What a device says of a swap besides the states of its tasks. */
export interface SwapReport {
  Kind: typeof SWAP_KINDS[number];
  /** In words. */
  Reason: string;
  /** When it is looked at again at the latest, RFC 3339, where the device knows. */
  Until?: string;
}

/** True for a swap that waits on the device for something else than the manager. */
export function isHeld(report: SwapReport | undefined): boolean {
  return report !== undefined && report.Kind !== "rolled_back";
}
