/**
 * Checkers of untrusted JSON. A shape takes a value, notes every problem with its field path and returns the normalized
 * value: unknown fields dropped, `null` and (as Go's `omitempty` does) empty values left out. As Go's decoder does, keys
 * are taken in any case, and `null` among texts is an empty one.
 */
import { isShowable, isShowableInLines, showable } from "../characters.ts";
import type { FieldProblem } from "../errors.ts";
import { fieldNames, fieldsOf } from "./field_names.ts";

/** Checks `value` found at `path`; returns undefined for a value that is absent, empty or wrong. */
export type Shape<T> = (value: unknown, path: string, problems: FieldProblem[]) => T | undefined;

/** What a shape returns. */
export type Shaped<S> = S extends Shape<infer T> ? T : never;

/** Elements of a list or entries of a map: far above any real spec, low enough to bound the work. */
const MAX_ELEMENTS = 10_000;

/** Characters of a text: what Linux takes as one argument of a program. */
const MAX_TEXT_LENGTH = 128 * 1024;

/** Characters of what is shown in a line, such as a name or a path: Linux's longest path. */
const MAX_LINE_LENGTH = 4096;

/** Characters of a label's key: it stands in tables, filters and constraints. */
const MAX_KEY_LENGTH = 1024;

/** Characters of a wrong value that are quoted to whoever sent it. */
const MAX_QUOTED_LENGTH = 200;

/** Levels of a free-form object: half of what a message may have, since the object travels inside others. */
const MAX_DEPTH = 32;

/** A key that sets an object's prototype where an object is built key by key; the transport refuses it. */
const RESERVED_KEY = "__proto__";

/** JSON's word for the type of `value`, as Go's decoder names it. */
function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "bigint") return "number";
  return typeof value === "boolean" ? "bool" : typeof value;
}

function mismatch(value: unknown, path: string, wanted: string, problems: FieldProblem[]): undefined {
  problems.push({ field: path, message: `cannot unmarshal ${typeName(value)} into ${wanted}` });
}

/** Notes why `value` is no text that a program, a log and every client take, if it is none. */
function isText(
  value: string,
  path: string,
  problems: FieldProblem[],
  maxLength = MAX_TEXT_LENGTH,
): boolean {
  const problem = textProblem(value, maxLength);
  if (problem !== undefined) problems.push({ field: path, message: problem });
  return problem === undefined;
}

function textProblem(value: string, maxLength = MAX_TEXT_LENGTH): string | undefined {
  if (value.length > maxLength) {
    return `has ${value.length} characters, at most ${maxLength} are allowed`;
  }
  if (value.includes("\0")) return "must not hold a zero character";
  return value.isWellFormed() ? undefined : "must not hold half of a surrogate pair";
}

/** A string of at most `maxLength` characters; an empty one counts as absent. */
export function textUpTo(maxLength: number): Shape<string> {
  return (value, path, problems) => {
    if (value === null) return undefined;
    if (typeof value !== "string") return mismatch(value, path, "string", problems);
    return isText(value, path, problems, maxLength) && value !== "" ? value : undefined;
  };
}

/** A string as long as any may be; an empty one counts as absent. */
export const text: Shape<string> = textUpTo(MAX_TEXT_LENGTH);

/** A string of at most `maxLength` characters that can be shown in a line; an empty one counts as absent. */
export function line(maxLength = MAX_LINE_LENGTH): Shape<string> {
  return (value, path, problems) => {
    if (value === null) return undefined;
    if (typeof value !== "string") return mismatch(value, path, "string", problems);
    const problem = lineProblem(value, maxLength);
    if (problem === undefined) return value === "" ? undefined : value;
    problems.push({ field: path, message: problem });
  };
}

function lineProblem(value: string, maxLength: number): string | undefined {
  if (value.length > maxLength) return `has ${value.length} characters, at most ${maxLength} are allowed`;
  return isShowable(value) ? undefined : "must not hold control or direction characters";
}

/** A string in somebody else's words, empty ones too: made one line, and cut. */
export function words(maxLength: number): Shape<string> {
  return (value, path, problems) =>
    typeof value === "string"
      ? showable(value.slice(0, maxLength).toWellFormed())
      : mismatch(value, path, "string", problems);
}

/** A boolean that is kept when false. */
export const flag: Shape<boolean> = (value, path, problems) => {
  if (typeof value !== "boolean") return mismatch(value, path, "bool", problems);
  return value;
};

/** A boolean of which only `true` says something. */
export const onlyTrue: Shape<boolean> = (value, path, problems) => flag(value, path, problems) || undefined;

/** A finite number. */
export const decimal: Shape<number> = (value, path, problems) => {
  // Of a fraction's digits nobody keeps more than a number holds.
  const found = typeof value === "bigint" ? Number(value) : value;
  if (typeof found !== "number" || !Number.isFinite(found)) return mismatch(value, path, "number", problems);
  return found;
};

/** The largest JavaScript number that an `int64` holds. */
const MAX_INT64 = 2 ** 63 - 1024;

/**
 * A whole number of at least `min` and at most `max`; `message` replaces the usual text when it is out of range. One that
 * would have to be rounded, which comes as a bigint, is a problem.
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

const MAX_UINT64 = 2n ** 64n - 1n;

/** A whole number of 64 bits without a sign, in its digits where a number would round it or its successor. */
export const exactCount: Shape<number | string> = (value, path, problems) => {
  if (typeof value !== "bigint" && (typeof value !== "number" || !Number.isInteger(value))) {
    return mismatch(value, path, "int", problems);
  }
  if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return Number(value);
  if (value >= 0 && BigInt(value) <= MAX_UINT64) return String(BigInt(value));
  problems.push({ field: path, message: `must be 0 to ${MAX_UINT64}: current value is ${value}` });
};

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

/** A list of at most `maxElements`; an empty one counts as absent. */
export function list<T>(element: Shape<T>, maxElements = MAX_ELEMENTS): Shape<T[]> {
  return (value, path, problems) => {
    if (!Array.isArray(value)) return mismatch(value, path, "array", problems);
    if (value.length > maxElements) {
      problems.push({ field: path, message: `has ${value.length} elements, more than ${maxElements}` });
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
  return isText(value, path, problems) ? value : undefined;
});

/** A map of strings that can be shown, values in several lines; an empty one counts as absent. */
export const stringMap: Shape<Record<string, string>> = mapOf((value, path, problems) => {
  if (value === null) return "";
  if (typeof value !== "string") return mismatch(value, path, "string", problems);
  if (!isText(value, path, problems)) return undefined;
  if (isShowableInLines(value)) return value;
  problems.push({ field: path, message: "must not hold control or direction characters" });
});

/** A map whose keys can be shown in a line; an empty one counts as absent. */
export function mapOf<T>(entry: Shape<T>): Shape<Record<string, T>> {
  return (value, path, problems) => shapedMap(entry, value, path, problems);
}

function shapedMap<T>(
  shape: Shape<T>,
  value: unknown,
  path: string,
  problems: FieldProblem[],
): Record<string, T> | undefined {
  if (!isObject(value)) return mismatch(value, path, "object", problems);
  const out: Record<string, T> = {};
  const entries = Object.entries(value);
  if (entries.length > MAX_ELEMENTS) {
    problems.push({ field: path, message: `has ${entries.length} entries, more than ${MAX_ELEMENTS}` });
    return undefined;
  }
  for (const [key, entry] of entries) {
    const problem = key === RESERVED_KEY ? "the name is reserved" : lineProblem(key, MAX_KEY_LENGTH);
    const field = `${path}.${showable(key.slice(0, MAX_KEY_LENGTH))}`;
    if (problem !== undefined) {
      problems.push({ field, message: problem });
      continue;
    }
    const shaped = shape(entry, field, problems);
    if (shaped !== undefined) out[key] = shaped;
  }
  return Object.keys(out).length === 0 ? undefined : out;
}

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
  if (typeof value === "string") return textProblem(value);
  if (typeof value === "number") return numberProblem(value);
  if (typeof value === "bigint") return `cannot be kept exactly: it holds ${value}`;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === MAX_DEPTH) return `nested deeper than ${MAX_DEPTH}`;
  if (Object.hasOwn(value, RESERVED_KEY)) return `the name ${RESERVED_KEY} is reserved`;
  for (const [key, child] of Object.entries(value)) {
    const problem = textProblem(key) ?? obstacle(child, depth + 1);
    if (problem !== undefined) return problem;
  }
}

/** No client could read it back as it was. */
function numberProblem(value: number): string | undefined {
  if (!Number.isFinite(value)) return "holds a number that JSON has no word for";
  return Number.isInteger(value) && !Number.isSafeInteger(value)
    ? `holds a number beyond 2^53, which would be rounded: ${value}`
    : undefined;
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

/** An object with known fields, in the order given, of which those `required` must not be absent or empty. */
export function record<F extends Record<string, Shape<unknown>>>(
  fields: F,
  required: readonly (keyof F & string)[] = [],
): Shape<{ [K in keyof F]?: Shaped<F[K]> }> {
  const entries = Object.entries(fields), names = fieldNames(Object.keys(fields));
  return (value, path, problems) => {
    if (!isObject(value)) return mismatch(value, path || "body", "object", problems);
    const given = fieldsOf(value, names), out: Record<string, unknown> = {};
    for (const [key, shape] of entries) {
      const field = given.get(key), at = path === "" ? key : `${path}.${key}`, before = problems.length;
      const shaped = field === undefined ? undefined : shape(field, at, problems);
      if (shaped !== undefined) out[key] = shaped;
      else if (problems.length === before && required.includes(key)) {
        problems.push({ field: at, message: "is required" });
      }
    }
    return out as { [K in keyof F]?: Shaped<F[K]> };
  };
}

/** Notes that `value` has more than `maxBytes` as JSON. */
export function checkSize(value: unknown, path: string, maxBytes: number, problems: FieldProblem[]): void {
  const json = JSON.stringify(value);
  // In UTF-8 as many bytes as units at least, and three times as many at most.
  const bytes = json.length * 3 > maxBytes ? new TextEncoder().encode(json).length : 0;
  if (bytes > maxBytes) {
    problems.push({ field: path, message: `has ${bytes} bytes, at most ${maxBytes} are allowed` });
  }
}

/** A wrong value as a message may quote it; what an object says of itself is not asked. */
export function quoted(value: unknown): string {
  if (typeof value === "object" || typeof value === "symbol") return typeName(value);
  return showable(String(value).slice(0, MAX_QUOTED_LENGTH));
}

/** True for a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
