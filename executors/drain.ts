/** What comes before a task that others find in networks is stopped. */
import { type Clock, sleep } from "../api/clock.ts";
import type { Task } from "../api/task.ts";
import type { OverlayNetworks } from "./overlay_networks.ts";

/** Between the last request that a task can have got and its stop signal, milliseconds: time to answer. */
const ANSWER_MS = 1000;

/** Resolves when nobody sends anything new to a task that is about to be stopped, and what was asked before had time to end. */
export async function drain(
  { ID, NetworkAttachments = [] }: Task,
  networks: Pick<OverlayNetworks, "drained"> | undefined,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (NetworkAttachments.length === 0) return;
  await networks?.drained(ID, signal);
  await sleep(clock, ANSWER_MS, signal);
}
