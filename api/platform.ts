/** Platforms under their several names. */
import type { Platform } from "./objects.ts";

const ALIASES = new Map([["x86_64", "amd64"], ["aarch64", "arm64"]]);

function architecture(name: string): string {
  const lower = name.toLowerCase();
  return ALIASES.get(lower) ?? lower;
}

/** True for two names of one architecture: `x86_64` and `amd64`, `aarch64` and `arm64`. */
export function sameArchitecture(a: string, b: string): boolean {
  return architecture(a) === architecture(b);
}

/**
 * True if `platform` is one of `wanted`, an empty field of which stands for any value; no wish is always
 * fulfilled.
 */
export function platformMatches(
  wanted: readonly Platform[] | undefined,
  platform: Platform | undefined,
): boolean {
  if (wanted === undefined || wanted.length === 0) return true;
  if (platform === undefined) return false;
  return wanted.some(({ OS, Architecture }) =>
    (!OS || OS.toLowerCase() === platform.OS.toLowerCase()) &&
    (!Architecture || sameArchitecture(Architecture, platform.Architecture))
  );
}
