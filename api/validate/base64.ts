/** Bytes as Go's JSON has them. */
import { type Shape, textUpTo } from "./shape.ts";

/** Whole groups of four; without a group in a pattern, which for a megabyte would take memory by the group. */
const ALPHABET = /^[A-Za-z0-9+/]*={0,2}$/;

/** Characters of base64 for `bytes`. */
export function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

/** Bytes that base64 of this length stands for. */
export function base64Bytes(data: string): number {
  return data.length / 4 * 3 - (data.endsWith("==") ? 2 : data.endsWith("=") ? 1 : 0);
}

/**
 * Base64 of at most `maxLength` characters, or as a list of the bytes' numbers, which Go reads as well; an empty one counts as
 * absent. What is wrong is said without quoting it.
 */
export function base64(maxLength = DEFAULT_MAX_LENGTH): Shape<string> {
  const text = textUpTo(maxLength);
  return (value, path, problems) => {
    const found = text(Array.isArray(value) ? fromNumbers(value, maxLength) ?? value : value, path, problems);
    if (found === undefined || (found.length % 4 === 0 && ALPHABET.test(found))) return found;
    problems.push({ field: path, message: "must be base64" });
  };
}

/** The bytes of a list of numbers, in which null is 0; undefined if it is none, or too long to be allowed. */
function fromNumbers(list: readonly unknown[], maxLength: number): string | undefined {
  const isByte = (each: unknown) =>
    each === null || (Number.isInteger(each) && each as number >= 0 && each as number <= 255);
  if (base64Length(list.length) > maxLength || !list.every(isByte)) return undefined;
  return Uint8Array.from(list as number[]).toBase64();
}

/** As long as other texts may be. */
const DEFAULT_MAX_LENGTH = 128 * 1024;
