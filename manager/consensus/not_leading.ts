/**
 * Errors that say: nothing was done, because another manager leads, or nobody does yet. Who meets one may ask again. They
 * are known by code and message, which is all that crosses the wire.
 */
import { CoveyError } from "../../api/errors.ts";

const REASONS = [
  "this manager is not the leader",
  "there is no leader",
  "the leader has changed",
  "leadership is being handed over",
] as const;

/** Cannot do `what`, and has not begun to. */
export function notLeading(what: string, reason: typeof REASONS[number]): CoveyError {
  return new CoveyError("unavailable", `Cannot ${what}: ${reason}`);
}

/** Whether an error is such a one. */
export function isNotLeading({ code, message }: CoveyError): boolean {
  return code === "unavailable" && REASONS.some((reason) => message.endsWith(`: ${reason}`));
}

/** A call was handed to this manager, which does not lead: whoever sent it knows more by now, so it goes no further. */
export function handedToFollower(): CoveyError {
  return notLeading("take the call", "this manager is not the leader");
}
