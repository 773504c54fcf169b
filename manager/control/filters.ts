/** The `filters` query parameter: `{"name":["a"]}`, or the older `{"name":{"a":true}}`. */
import { CoveyError } from "../../api/errors.ts";

/** Values by filter name. */
export type Filters = ReadonlyMap<string, readonly string[]>;

/** Reads `filters`; only the names in `accepted` may occur. Throws `invalid_argument`. */
export function parseFilters(raw: string | undefined, accepted: readonly string[]): Filters {
  const filters = new Map<string, string[]>();
  if (raw === undefined || raw === "") return filters;
  const parsed = parseJSON(raw);
  if (parsed === null) return filters;
  if (typeof parsed !== "object" || Array.isArray(parsed)) throw invalidFilter(raw);
  for (const [name, values] of Object.entries(parsed)) {
    if (!accepted.includes(name)) throw new CoveyError("invalid_argument", `Invalid filter '${name}'`);
    if (values === null) continue;
    if (typeof values !== "object") throw invalidFilter(raw);
    const words = Array.isArray(values) ? values : Object.keys(values);
    if (!words.every((word): word is string => typeof word === "string")) throw invalidFilter(raw);
    if (words.length > 0) filters.set(name, words);
  }
  return filters;
}

function parseJSON(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch (cause) {
    throw new CoveyError("invalid_argument", `invalid filter: ${(cause as Error).message}`, { cause });
  }
}

function invalidFilter(raw: string): CoveyError {
  return new CoveyError("invalid_argument", `invalid filter '${raw.slice(0, 200)}'`);
}

/** True if the filter is absent or one of its values is `value`. */
export function matchesExactly(filters: Filters, name: string, value: string): boolean {
  const wanted = filters.get(name);
  return wanted === undefined || wanted.includes(value);
}

/** As {@linkcode matchesExactly}, in any case and without empty values; `value` is in lower case. */
export function matchesFolded(filters: Filters, name: string, value: string): boolean {
  const wanted = (filters.get(name) ?? []).filter((each) => each !== "");
  return wanted.length === 0 || wanted.some((each) => each.toLowerCase() === value);
}

/** True if the filter is absent or `value` starts with one of its values. */
export function matchesPrefix(filters: Filters, name: string, value: string): boolean {
  const wanted = filters.get(name);
  return wanted === undefined || wanted.some((prefix) => value.startsWith(prefix));
}

/** True if the filter is absent or `labels` has all of its `key` and `key=value` entries. */
export function matchesLabels(filters: Filters, name: string, labels: Record<string, string> = {}): boolean {
  return (filters.get(name) ?? []).every((entry) => {
    const [key = "", ...rest] = entry.split("=");
    const value = rest.join("=");
    return Object.hasOwn(labels, key) && (value === "" || labels[key] === value);
  });
}

/** Throws Docker's error unless every value of the filter is one of `known`. */
export function requireKnown(filters: Filters, name: string, known: readonly string[]): void {
  const wrong = filters.get(name)?.find((value) => value !== "" && !known.includes(value.toLowerCase()));
  if (wrong !== undefined) throw new CoveyError("unknown", `Invalid ${name} filter: '${wrong}'`);
}
