/** How an update ends, each in its own words and with its own exit code. */
import { CoveyError } from "../api/errors.ts";
import type { UpdateStatus } from "../api/service.ts";

/** Exit codes of what is neither done nor refused. */
export const ENDING_EXIT = {
  "rolled back": 4,
  paused: 5,
  "awaiting promotion": 6,
  "timed out": 7,
  aborted: 8,
} as const;

/** Each way in which an update can end other than done. */
export type Ending = keyof typeof ENDING_EXIT;

/** An update that came to rest without being done. */
export class EndedError extends CoveyError {
  constructor(readonly ending: Ending, message: string) {
    super("failed_precondition", message);
  }
}

/** How an update with this status has ended; undefined while it goes on, and where it is done. */
export function endingOf(status: UpdateStatus | undefined): Ending | undefined {
  const rollout = status?.Rollout?.State;
  if (rollout === "awaiting_promotion") return "awaiting promotion";
  if (rollout === "aborted") return "aborted";
  if (rollout === "timed_out") return "timed out";
  if (status?.State === "paused" || status?.State === "rollback_paused") return "paused";
  return status?.State === "rollback_completed" ? "rolled back" : undefined;
}

/** Throws where the update has ended without being done. */
export function requireDone(status: UpdateStatus | undefined): void {
  const ending = endingOf(status);
  if (ending !== undefined) throw new EndedError(ending, `service update ${ending}: ${status!.Message}`);
}
