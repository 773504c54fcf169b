/** Durations: specs count nanoseconds, as Docker's API does; clocks and timers count milliseconds. */

/** Nanoseconds of a millisecond. */
export const MILLISECOND_NS = 1_000_000;
/** Nanoseconds of a second. */
export const SECOND_NS = 1000 * MILLISECOND_NS;
/** Nanoseconds of an hour. */
export const HOUR_NS = 3600 * SECOND_NS;
/** Nanoseconds of a day. */
export const DAY_NS = 24 * HOUR_NS;

/** Milliseconds of an hour. */
export const HOUR_MS = 3_600_000;
/** Milliseconds of a day. */
export const DAY_MS = 24 * HOUR_MS;

/** A spec's nanoseconds in milliseconds. */
export function toMs(nanoseconds: number): number;
/** The same, or `fallbackMs` where the spec says nothing. */
export function toMs(nanoseconds: number | undefined, fallbackMs: number): number;
export function toMs(nanoseconds: number | undefined, fallbackMs = 0): number {
  return nanoseconds === undefined ? fallbackMs : nanoseconds / MILLISECOND_NS;
}

/** A time as people say it: `850 ms`, `9 s`, `14 min`, `6 h`, `3 days`. */
export function inWords(ms: number): string {
  for (const [unitMs, name] of [[DAY_MS, "days"], [HOUR_MS, "h"], [60_000, "min"], [1000, "s"]] as const) {
    if (ms >= 2 * unitMs || (name === "s" && ms >= unitMs)) return `${Math.round(ms / unitMs)} ${name}`;
  }
  return `${Math.round(ms)} ms`;
}

const GO_UNITS: Record<string, number> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  ms: MILLISECOND_NS,
  s: SECOND_NS,
  m: 60 * SECOND_NS,
  h: HOUR_NS,
};

/** A duration as Go writes it (`1m30s`, `250ms`, `0`) in nanoseconds; undefined for any other text. */
export function parseGoDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const part = /(\d+(?:\.\d+)?)(ns|us|\u00b5s|ms|s|m|h)/y;
  let total = 0, at = 0;
  while (at < text.length) {
    part.lastIndex = at;
    const match = part.exec(text);
    if (!match) return undefined;
    total += Number(match[1]) * GO_UNITS[match[2]!]!;
    at = part.lastIndex;
  }
  return text === "" ? undefined : Math.round(total);
}
