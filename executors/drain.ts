/** The pause before a task that others find in networks is stopped. */
import { type Clock, sleep } from "../api/clock.ts";
import type { Task } from "../api/task.ts";

/**
 * Between the moment at which all nodes are told that a task serves no more and its stop signal, milliseconds: time to
 * load their rules, which takes a busy small device half of it, and to end what was asked before.
 */
const DRAIN_MS = 1000;

/** Resolves when nobody sends anything new to a task that is about to be stopped. */
export async function drain(
  { NetworkAttachments = [] }: Task,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (NetworkAttachments.length > 0) await sleep(clock, DRAIN_MS, signal);
}
