/** JSON in which no whole number is rounded unnoticed. */

/** Only a text with so many digits in a row can hold a number that JavaScript's would round. */
const MANY_DIGITS = /\d{16}/;
/** What TypeScript knows of a reviver, which is handed the source text as well. */
type Reviver = (key: string, value: unknown) => unknown;
const WHOLE = /^-?\d{16,}$/;

/**
 * As `JSON.parse`, but a whole number that a JavaScript number would not give back digit by digit comes as a bigint: it is
 * for the reader to refuse it by name. Throws `SyntaxError`.
 */
export function parseExact(text: string): unknown {
  return MANY_DIGITS.test(text) ? JSON.parse(text, keepDigits as Reviver) : JSON.parse(text);
}

function keepDigits(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number") return value;
  const source = context.source ?? "";
  return WHOLE.test(source) && String(value) !== source ? BigInt(source) : value;
}

/** What TypeScript does not know of `JSON` yet. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** The text that {@linkcode parseExact} reads as `value`: as `JSON.stringify`, which throws at a bigint. */
export function stringifyExact(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_key, each) => typeof each === "bigint" ? rawJSON(String(each)) : each,
    indent,
  );
}

/** What `JSON.stringify` writes as a number of these digits, however many. */
export function writtenNumber(digits: string): unknown {
  return rawJSON(digits);
}
