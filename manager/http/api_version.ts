/** Versions of the Engine API: which path prefixes are answered, and what a path is without one. */
import { CoveyError } from "../../api/errors.ts";

/** The version spoken. */
export const API_VERSION = "1.41";
/** The oldest version answered. */
export const MIN_API_VERSION = "1.24";

const PREFIX = /^\/v(\d{1,3}\.\d{1,3})(?=\/)/;

/** `/v1.41/nodes` is `/nodes`. */
export function withoutVersion(path: string): string {
  return path.startsWith("/v") ? path.replace(PREFIX, "") : path;
}

/** Throws Docker's `invalid_argument` if the prefix names a version that is not spoken. */
export function checkVersion(path: string): void {
  const version = path.startsWith("/v") ? PREFIX.exec(path)?.[1] : undefined;
  if (version === undefined || version === API_VERSION) return;
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
}

function minor(version: string): number {
  const [major = "0", rest = "0"] = version.split(".");
  return Number(major) * 1000 + Number(rest);
}
