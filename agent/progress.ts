/** Tells from time to time how far a controller's call is. */
import type { CancelTimer } from "../api/clock.ts";
import type { Controller } from "../executors/executor.ts";
import type { TaskEnvironment } from "./task_environment.ts";

/** Often enough for somebody who waits, and a status written to the card is little beside what is pulled meanwhile. */
export const PROGRESS_PERIOD_MS = 30_000;

/** Makes the call once there is a place for it, and meanwhile hands `say` what `controller` says of its progress. */
export async function callTelling(
  { clock, limiter }: Pick<TaskEnvironment, "clock" | "limiter">,
  controller: Controller,
  call: "prepare" | "start",
  signal: AbortSignal,
  say: (words: string) => void,
): Promise<void> {
  let cancel: CancelTimer = () => {};
  const look = () => {
    const words = controller.progress?.();
    if (words !== undefined) say(words);
    cancel = clock.setTimer(PROGRESS_PERIOD_MS, look);
  };
  await limiter.run(async () => {
    if (controller.progress !== undefined) cancel = clock.setTimer(PROGRESS_PERIOD_MS, look);
    try {
      await controller[call](signal);
    } finally {
      cancel();
    }
  }, signal);
}
