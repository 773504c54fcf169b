/** The pauses that the agent makes: between sessions, and before a failed call is made again. */
import { Backoff, type BackoffLimits } from "../api/backoff.ts";
import type { Random } from "../api/random.ts";

/** SwarmKit's numbers: b becomes 100 ms + 2b, at most 8 s; the pause is uniform from 0 to b. */
const SESSION_PAUSE: BackoffLimits = { minMs: 100, addMs: 100, maxMs: 8_000 };

/** SwarmKit always waits 1 s; but a registry may be out for hours, and a device shall not spend them pulling. */
const CALL_PAUSE: BackoffLimits = { minMs: 1_000, maxMs: 30_000 };

/** Pauses between sessions. All is drawn at random: a whole fleet may have lost the same manager. */
export function sessionBackoff(random: Random): Backoff {
  return new Backoff(SESSION_PAUSE, { random, part: 1 });
}

/** Pauses before a failed controller call or status report is tried again. */
export function callBackoff(): Backoff {
  return new Backoff(CALL_PAUSE);
}
