/** Names of services: a DNS label (SwarmKit `validateAnnotations`). */
import type { FieldProblem } from "../errors.ts";

const DNS_NAME = /^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*$/;
/** Characters of a DNS label. */
const MAX_NAME_LENGTH = 63;

/** Notes what is wrong with the name of a service. */
export function checkName(name: string | undefined, field: string, problems: FieldProblem[]): void {
  if (name === undefined) problems.push({ field, message: "meta: name must be provided" });
  else if (name.length > MAX_NAME_LENGTH) {
    problems.push({ field, message: "name must be 63 characters or fewer" });
  } else if (!DNS_NAME.test(name)) {
    problems.push({ field, message: "name must be valid as a DNS name component" });
  }
}
