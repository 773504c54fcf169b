import { CoveyError } from "../api/errors.ts";
import { MAX_VALUE_DEPTH } from "./limits.ts";

const MAX_INTEGER = 2n ** 64n - 1n;
const MIN_INTEGER = -(2n ** 63n);

function refuse(what: string): never {
  throw new CoveyError("invalid_argument", `Cannot encode message: ${what}`);
}

function pruneArray(list: unknown[], depth: number): unknown[] {
  let copy: unknown[] | undefined;
  for (let i = 0; i < list.length; i++) {
    const pruned = prune(list[i], depth + 1);
    if (pruned !== list[i] || copy) (copy ??= list.slice(0, i)).push(pruned);
  }
  return copy ?? list;
}

function pruneRecord(record: Record<string, unknown>, depth: number): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const key of Object.keys(record)) {
    if (key === "__proto__") refuse('a field is named "__proto__"');
    const value = record[key];
    const pruned = value === undefined ? undefined : prune(value, depth + 1);
    if (pruned === value && value !== undefined) continue;
    copy ??= { ...record };
    if (value === undefined) delete copy[key];
    else copy[key] = pruned;
  }
  return copy ?? record;
}

/**
 * The value as it goes on the wire: fields that are undefined are dropped. What
 * is clean already is returned as it is. Throws `invalid_argument` for what has no plain form (functions, dates, maps, class
 * instances) and for nesting, and so for cycles, beyond the limit.
 */
export function prune(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null) {
    if (typeof value === "bigint" && (value > MAX_INTEGER || value < MIN_INTEGER)) {
      refuse("an integer has more than 64 bits");
    }
    if (typeof value === "function" || typeof value === "symbol") refuse(`a ${typeof value} is no data`);
    return value;
  }
  if (depth >= MAX_VALUE_DEPTH) refuse(`nested deeper than ${MAX_VALUE_DEPTH}`);
  if (Array.isArray(value)) return pruneArray(value, depth);
  if (value instanceof Uint8Array) return value;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return pruneRecord(value as Record<string, unknown>, depth);
  if (prototype === null) return pruneRecord({ ...value }, depth);
  return refuse(`a ${value.constructor?.name ?? "object without class"} is no plain data`);
}
