/** Versions of the Engine API: which path prefixes are answered, and what a path is without one. */
import { CoveyError } from "../../api/errors.ts";

/** The version spoken. */
export const API_VERSION = "1.51";
/** The oldest version answered. */
export const MIN_API_VERSION = "1.24";

const PREFIX = /^\/v(\d{1,3}\.\d{1,3})(?=\/)/;

/** The path of an absolute URL, without its query; far cheaper than parsing the URL. */
export function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return "/";
  const end = url.indexOf("?", start);
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

/** `/v1.51/nodes` is `/nodes`. */
export function withoutVersion(path: string): string {
  return path.startsWith("/v") ? path.replace(PREFIX, "") : path;
}

/** `services` of `/services/web`, which has no version prefix. */
export function firstSegment(path: string): string {
  const end = path.indexOf("/", 1);
  return end < 0 ? path.slice(1) : path.slice(1, end);
}

/** The version asked for last that is spoken: a client stays with one. */
let lastSpoken = API_VERSION;

/** Throws Docker's `invalid_argument` if the prefix names a version that is not spoken. */
export function checkVersion(path: string): void {
  const version = versionOf(path);
  if (version === undefined || version === lastSpoken) return;
  if (minor(version) > minor(API_VERSION)) {
    throw new CoveyError(
      "invalid_argument",
      `client version ${version} is too new. Maximum supported API version is ${API_VERSION}`,
    );
  }
  if (minor(version) < minor(MIN_API_VERSION)) {
    throw new CoveyError(
      "invalid_argument",
      `client version ${version} is too old. Minimum supported API version is ${MIN_API_VERSION}, ` +
        "please upgrade your client to a newer version",
    );
  }
  lastSpoken = version;
}

function minor(version: string): number {
  const [major = "0", rest = "0"] = version.split(".");
  return Number(major) * 1000 + Number(rest);
}

/** Versions that an engine speaks. */
export interface VersionRange {
  oldest: string;
  newest: string;
}

/**
 * `target` as an engine of those versions takes it: clients agree on a version with us, which the engine may be too old or
 * too new for.
 */
export function withinVersions(target: string, { oldest, newest }: VersionRange): string {
  const version = PREFIX.exec(target)?.[1];
  if (version === undefined) return target;
  const near = minor(version) > minor(newest) ? newest : minor(version) < minor(oldest) ? oldest : version;
  return target.replace(PREFIX, `/v${near}`);
}

/** The version that a path names. */
export function versionOf(path: string): string | undefined {
  return path.startsWith("/v") ? PREFIX.exec(path)?.[1] : undefined;
}

/** True if a path names a version before `version`; one without a prefix is of the newest. */
export function isBefore(path: string, version: string): boolean {
  const asked = versionOf(path);
  return asked !== undefined && minor(asked) < minor(version);
}
