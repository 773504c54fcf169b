/** Which programs understand one another: those whose versions of the protocol are at most one step apart. Pure. */
import { CoveyError } from "./errors.ts";

/**
 * What this program speaks. It goes up by one when an agent or a manager of the version before would misread something that
 * is sent; fields that are only added, and passed over by who does not know them, leave it as it is.
 */
export const PROTOCOL = 1;

/** Throws `failed_precondition` where an agent and a manager are more than one step apart, and says which of them is too old. */
export function checkProtocol(agent: number, manager: number): void {
  if (Math.abs(agent - manager) <= 1) return;
  const old = agent < manager ? "agent" : "manager";
  throw new CoveyError(
    "failed_precondition",
    `Cannot open a session: the agent speaks version ${agent}, the manager ${manager}, and one step apart is the most; ` +
      `upgrade the ${old}, one version at a time`,
  );
}
