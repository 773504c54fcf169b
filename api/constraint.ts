/** The grammar of placement constraints: `key==value` and `key!=value` (SwarmKit `manager/constraint`). */

/** One parsed constraint. Values compare without regard to case, label keys with regard to it. */
export interface Constraint {
  key: string;
  negated: boolean;
  value: string;
}

const KEY = /^[a-z_][a-z0-9\-_.]+$/i;
/** Docker lets through what a pattern could hold, but compares it letter by letter. Of spaces, only ASCII's. */
const VALUE = /^[a-z0-9:\-_ \t\n\f\r.*()?+[\]\\^$|/]+$/i;

/** The constraint that `expression` says, or in Docker's words what is wrong with it. */
export function parseConstraint(expression: string): Constraint | string {
  const at = expression.search(/[=!]=/);
  if (at < 0) return "constraint expected one operator from ==, !=";
  const key = expression.slice(0, at).trim();
  const value = expression.slice(at + 2).trim();
  if (!KEY.test(key)) return `key '${key}' is invalid`;
  if (!VALUE.test(value)) return `value '${value}' is invalid`;
  return { key, negated: expression[at] === "!", value };
}
