/**
 * Checkers of untrusted JSON. A shape takes a value, notes every problem with its field path and returns the normalized
 * value: unknown fields dropped, `null` and (as Go's `omitempty` does) empty values left out. As Go's decoder does, keys
 * are taken in any case, and `null` in a list or a map is the empty value of its kind.
 */
import type { FieldProblem } from "../errors.ts";
import { fieldNames, fieldsOf } from "./field_names.ts";

/** Checks `value` found at `path`; returns undefined for a value that is absent, empty or wrong. */
export type Shape<T> = (value: unknown, path: string, problems: FieldProblem[]) => T | undefined;

/** What a shape returns. */
export type Shaped<S> = S extends Shape<infer T> ? T : never;

/** Elements of a list or entries of a map: far above any real spec, low enough to bound the work. */
const MAX_ELEMENTS = 10_000;

/** Levels of a free-form object: half of what a message may have, since the object travels inside others. */
const MAX_DEPTH = 32;

/** A key that sets an object's prototype where an object is built key by key; the transport refuses it. */
const RESERVED_KEY = "__proto__";

/** JSON's word for the type of `value`, as Go's decoder names it. */
function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}

function mismatch(value: unknown, path: string, wanted: string, problems: FieldProblem[]): undefined {
  problems.push({ field: path, message: `cannot unmarshal ${typeName(value)} into ${wanted}` });
}

/** A string; an empty one counts as absent. */
export const text: Shape<string> = (value, path, problems) => {
  if (value === null) return undefined;
  if (typeof value !== "string") return mismatch(value, path, "string", problems);
  return value === "" ? undefined : value;
};

/** A boolean that is kept when false. */
export const flag: Shape<boolean> = (value, path, problems) => {
  if (typeof value !== "boolean") return mismatch(value, path, "bool", problems);
  return value;
};

/** A boolean of which only `true` says something. */
export const onlyTrue: Shape<boolean> = (value, path, problems) => flag(value, path, problems) || undefined;

/** A finite number. */
export const decimal: Shape<number> = (value, path, problems) => {
  if (typeof value !== "number") return mismatch(value, path, "number", problems);
  return value;
};

/** The largest JavaScript number that an `int64` holds. */
const MAX_INT64 = 2 ** 63 - 1024;

/**
 * A whole number of at least `min` and at most `max`; `message` replaces the usual text when it is out of range. One that
 * would have to be rounded is a problem.
 */
export function integer(min: number, max = MAX_INT64, message?: string): Shape<number> {
  return (value, path, problems) => {
    if (typeof value === "bigint") {
      problems.push({ field: path, message: `cannot be kept exactly: current value is ${value}` });
      return undefined;
    }
    if (typeof value !== "number" || !Number.isInteger(value)) return mismatch(value, path, "int", problems);
    if (value >= min && value <= max) return value;
    const range = max === MAX_INT64 ? `must be at least ${min}` : `must be ${min} to ${max}`;
    problems.push({ field: path, message: message ?? `${range}: current value is ${value}` });
    return undefined;
  };
}

/** As `shape`, with 0 counting as absent, also where `shape` has a minimum. */
export function nonZero(shape: Shape<number>): Shape<number> {
  return (value, path, problems) => value === 0 ? undefined : shape(value, path, problems);
}

/**
 * One of `values`, which are in lower case, whatever the case it is given in: for the words that Docker takes so. Else as
 * {@linkcode oneOf}.
 */
export function oneOfFolded<const T extends string>(
  values: readonly T[],
  message?: (value: string) => string,
): Shape<T> {
  const exact = oneOf(values, message);
  return (value, path, problems) => {
    const word = typeof value === "string" ? value.toLowerCase() : value;
    return exact(values.includes(word as T) ? word : value, path, problems);
  };
}

/** One of `values`; an empty string counts as absent. `message` makes the text for another value. */
export function oneOf<const T extends string>(
  values: readonly T[],
  message: (value: string) => string = (value) =>
    `must be one of ${values.join(", ")}: current value is "${value}"`,
): Shape<T> {
  return (value, path, problems) => {
    const word = text(value, path, problems);
    if (word === undefined) return undefined;
    if ((values as readonly string[]).includes(word)) return word as T;
    problems.push({ field: path, message: message(word) });
    return undefined;
  };
}

/** A list; an empty one counts as absent. */
export function list<T>(element: Shape<T>): Shape<T[]> {
  return (value, path, problems) => {
    if (!Array.isArray(value)) return mismatch(value, path, "array", problems);
    if (value.length > MAX_ELEMENTS) {
      problems.push({ field: path, message: `has ${value.length} elements, more than ${MAX_ELEMENTS}` });
      return undefined;
    }
    const out: T[] = [];
    value.forEach((item, index) => {
      const shaped = element(item, `${path}[${index}]`, problems);
      if (shaped !== undefined) out.push(shaped);
    });
    return out.length === 0 ? undefined : out;
  };
}

/** A list of strings that keeps empty ones (a command may have empty arguments). */
export const strings: Shape<string[]> = list((value, path, problems) => {
  if (value === null) return "";
  if (typeof value !== "string") return mismatch(value, path, "string", problems);
  return value;
});

/** A map of strings; an empty one counts as absent. */
export const stringMap: Shape<Record<string, string>> = (value, path, problems) => {
  if (!isObject(value)) return mismatch(value, path, "object", problems);
  const out: Record<string, string> = {};
  const entries = Object.entries(value);
  if (entries.length > MAX_ELEMENTS) {
    problems.push({ field: path, message: `has ${entries.length} entries, more than ${MAX_ELEMENTS}` });
    return undefined;
  }
  for (const [key, entry] of entries) {
    if (key === RESERVED_KEY) problems.push({ field: `${path}.${key}`, message: "the name is reserved" });
    else if (typeof entry === "string" || entry === null) out[key] = entry ?? "";
    else mismatch(entry, `${path}.${key}`, "string", problems);
  }
  return Object.keys(out).length === 0 ? undefined : out;
};

/** Any value, kept as it is, if it can travel: no frame may hold the reserved key or be nested without end. */
export const anyValue: Shape<unknown> = (value, path, problems) => {
  const problem = obstacle(value, 0);
  if (problem === undefined) return value;
  problems.push({ field: path, message: problem });
};

/** Any object, kept as it is. */
export const anyObject: Shape<Record<string, unknown>> = (value, path, problems) => {
  if (!isObject(value)) return mismatch(value, path, "object", problems);
  return anyValue(value, path, problems) as Record<string, unknown> | undefined;
};

function obstacle(value: unknown, depth: number): string | undefined {
  if (typeof value === "bigint") return `cannot be kept exactly: it holds ${value}`;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === MAX_DEPTH) return `nested deeper than ${MAX_DEPTH}`;
  if (Object.hasOwn(value, RESERVED_KEY)) return `the name ${RESERVED_KEY} is reserved`;
  for (const child of Object.values(value)) {
    const problem = obstacle(child, depth + 1);
    if (problem !== undefined) return problem;
  }
}

/** A field that Docker knows and this cluster cannot honour: anything but an empty value is a problem. */
export function unsupported(why: string): Shape<never> {
  return (value, path, problems) => {
    const empty = value === "" || value === 0 || value === false ||
      (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);
    if (!empty) problems.push({ field: path, message: why });
    return undefined;
  };
}

/** A field that must not be there, also not as an empty object. */
export function refused(why: string): Shape<never> {
  return (_value, path, problems) => {
    problems.push({ field: path, message: why });
    return undefined;
  };
}

/** An object with known fields, in the order given; an object without any is kept. */
export function record<F extends Record<string, Shape<unknown>>>(
  fields: F,
): Shape<{ [K in keyof F]?: Shaped<F[K]> }> {
  const entries = Object.entries(fields), names = fieldNames(Object.keys(fields));
  return (value, path, problems) => {
    if (value === null) return {};
    if (!isObject(value)) return mismatch(value, path || "body", "object", problems);
    const given = fieldsOf(value, names), out: Record<string, unknown> = {};
    for (const [key, shape] of entries) {
      const field = given.get(key);
      if (field === undefined) continue;
      const shaped = shape(field, path === "" ? key : `${path}.${key}`, problems);
      if (shaped !== undefined) out[key] = shaped;
    }
    return out as { [K in keyof F]?: Shaped<F[K]> };
  };
}

/** True for a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
