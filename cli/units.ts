/** Units as the docker command line takes and shows them. */
import { parseGoDuration } from "../api/duration.ts";
import { CoveyError } from "../api/errors.ts";

const BYTES: Record<string, number> = { "": 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

function refuse(flag: string, wanted: string, value: string): never {
  throw new CoveyError("invalid_argument", `Cannot read --${flag} as ${wanted}: current value is "${value}"`);
}

/** A Go duration (`1m30s`, `250ms`, `0`) in nanoseconds. `flag` names the option in the error. */
export function parseDuration(flag: string, text: string): number {
  return parseGoDuration(text) ?? refuse(flag, "a duration such as 10s or 1m30s", text);
}

/** A memory size (`64m`, `1.5GiB`, `1048576`) in bytes. */
export function parseBytes(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) refuse(flag, "a size such as 64m or 1g", text);
  return Math.floor(Number(match[1]) * BYTES[match[2]!.toLowerCase()]!);
}

/** A share of processors (`0.5`, `2`) in billionths of a core. */
export function parseCPUs(flag: string, text: string): number {
  if (!/^\d+(\.\d{1,9})?$/.test(text)) refuse(flag, "a number of CPUs such as 0.5", text);
  return Math.round(Number(text) * 1e9);
}

/** A whole number that is not negative. */
export function parseCount(flag: string, text: string): number {
  if (!/^\d+$/.test(text)) refuse(flag, "a whole number", text);
  return Number(text);
}

/** A fraction from 0 to 1. */
export function parseRatio(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1)) refuse(flag, "a ratio between 0 and 1", text);
  return value;
}

/** One of `choices`. */
export function parseChoice<T extends string>(flag: string, text: string, choices: readonly T[]): T {
  if (!(choices as readonly string[]).includes(text)) refuse(flag, `one of ${choices.join(", ")}`, text);
  return text as T;
}

/** `key=value` pairs as a record; a pair without `=` has an empty value, as docker has it. */
export function parseLabels(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
  }));
}

/** Bytes with a binary unit: `64MiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; bytes >= 1024 && at < units.length - 1; at++) bytes /= 1024;
  return `${Number(bytes.toPrecision(4))}${units[at]}`;
}

/** How long ago a time was, in docker's words: `5 seconds ago`, `About a minute ago`. */
export function formatAge(rfc3339: string, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(rfc3339)) / 1000));
  const steps: [number, string][] = [
    [1, "Less than a second"],
    [2, "1 second"],
    [60, `${seconds} seconds`],
    [120, "About a minute"],
    [3600, `${Math.floor(seconds / 60)} minutes`],
    [5400, "About an hour"],
    [172_800, `${Math.round(seconds / 3600)} hours`],
    [1_209_600, `${Math.floor(seconds / 86_400)} days`],
    [5_184_000, `${Math.floor(seconds / 604_800)} weeks`],
    [63_072_000, `${Math.floor(seconds / 2_592_000)} months`],
  ];
  const words = steps.find(([limit]) => seconds < limit)?.[1] ?? `${Math.floor(seconds / 31_536_000)} years`;
  return `${words} ago`;
}
