/** Errors that say: nothing was done, because another manager leads, or nobody does yet. Who meets one may ask again. */
import { CoveyError } from "../../api/errors.ts";

type Why =
  | "this manager is not the leader"
  | "there is no leader"
  | "the leader has changed"
  | "leadership is being handed over";

/** Cannot do `what`, and has not begun to. */
export function notLeading(what: string, why: Why): CoveyError {
  return new CoveyError("unavailable", `Cannot ${what}: ${why}`, { reason: "not_leading" });
}

/** Whether an error is such a one. */
export function isNotLeading({ reason }: CoveyError): boolean {
  return reason === "not_leading";
}

/** A call was handed to this manager, which does not lead: whoever sent it knows more by now, so it goes no further. */
export function handedToFollower(): CoveyError {
  return notLeading("take the call", "this manager is not the leader");
}
