/** What became of a call to the leader that failed, and the errors that callers of this manager see. */
import { NO_LEADER, NOT_A_MANAGER } from "../../api/docker_texts.ts";
import { CoveyError } from "../../api/errors.ts";

/**
 * `not_leader`, `unsent`: nothing was done, another try is safe. `unknown`: it may have been done. `answered`: the leader
 * looked at it and failed it, which is the caller's answer.
 */
export type Fate = "not_leader" | "unsent" | "unknown" | "answered";

/** Judges what a call of the transport rejected with. */
export function fateOf({ code, reason }: CoveyError): Fate {
  if (reason === "outcome_unknown") return "unknown";
  if (code !== "unavailable") return "answered";
  if (reason === "not_leading") return "not_leader";
  return reason === "unsent" ? "unsent" : "answered";
}

/** No leader was found in time. */
export function noLeader(cause: unknown): CoveyError {
  return new CoveyError("unavailable", NO_LEADER, { cause, reason: "no_leader" });
}

/** The leader may have done what was asked. */
export function outcomeUnknown(cause: CoveyError): CoveyError {
  return new CoveyError(
    "unknown",
    `Cannot tell whether the leader did it, look before you ask again: ${cause.message}`,
    { cause, reason: "outcome_unknown" },
  );
}

/** The cluster has made this node a worker, which it will hear of in a moment. */
export function notAManager(cause: CoveyError): CoveyError {
  return new CoveyError("unavailable", NOT_A_MANAGER + "It was demoted and is about to go on as a worker.", {
    cause,
  });
}
