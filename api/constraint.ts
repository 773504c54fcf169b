/**
 * The grammar of placement constraints (SwarmKit `manager/constraint`): `key==value` and `key!=value`. What Docker refuses for
 * having neither may be one of ours, so that whatever Docker takes means what it means there:
 *
 *     key in (a, b)    key not in (a, b)    key like 6.1.*    key not like 6.1.*    key exists    key not exists
 *
 * Values, and patterns of `*` and `?`, compare without regard to case, label keys with regard to it.
 */

/** One parsed constraint. `exists` has no values, `in` several, the others one. */
export interface Constraint {
  key: string;
  operator: "equals" | "in" | "like" | "exists";
  negated: boolean;
  values: string[];
}

const KEY = /^[a-z_][a-z0-9\-_.]+$/i;
/** Docker lets through what a pattern could hold, but compares it letter by letter. Of spaces, only ASCII's. */
const VALUE = /^[a-z0-9:\-_ \t\n\f\r.*()?+[\]\\^$|/]+$/i;
/** A constraint of ours, the values not looked at. */
const EXTENSION = /^(\S+)\s+(not\s+)?(?:(in)\s*\(([^()]*)\)|(like)\s+(\S.*)|(exists))$/is;
/** Values of one `in`: more is a label's work, and each is compared with each node. */
const MAX_VALUES = 100;

/** The constraint that `expression` says, or in Docker's words what is wrong with it. */
export function parseConstraint(expression: string): Constraint | string {
  const at = expression.search(/[=!]=/);
  if (at < 0) return parseExtension(expression.trim()) ?? "constraint expected one operator from ==, !=";
  const key = expression.slice(0, at).trim();
  const value = expression.slice(at + 2).trim();
  if (!KEY.test(key)) return `key '${key}' is invalid`;
  if (!VALUE.test(value)) return `value '${value}' is invalid`;
  return { key, operator: "equals", negated: expression[at] === "!", values: [value] };
}

function parseExtension(expression: string): Constraint | string | undefined {
  const [, key, not, isIn, list, isLike, pattern, exists] = EXTENSION.exec(expression) ?? [];
  if (key === undefined) return undefined;
  if (!KEY.test(key)) return `key '${key}' is invalid`;
  const negated = not !== undefined;
  if (exists) return { key, operator: "exists", negated, values: [] };
  const values = isIn ? list!.split(",").map((value) => value.trim()) : [pattern!.trim()];
  const wrong = values.find((value) => !VALUE.test(value));
  if (wrong !== undefined) return `value '${wrong}' is invalid`;
  if (values.length > MAX_VALUES) return `more than ${MAX_VALUES} values`;
  return { key, operator: isLike ? "like" : "in", negated, values };
}
