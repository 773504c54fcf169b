/** Images by their names and platforms, as far as a task needs to read them. */
import { sameArchitecture } from "../../api/platform.ts";

/** The 32-bit programs that processors of 64 bits run as well. */
const ALSO_RUNS: readonly (readonly [string, string])[] = [["amd64", "386"], ["arm64", "arm"]];

/** `busybox` as `busybox:latest`; a reference with a tag or digest stays what it is (reference.TagNameOnly). */
export function withDefaultTag(image: string): string {
  if (image.includes("@")) return image;
  // A colon before the last slash belongs to a registry's port.
  return image.slice(image.lastIndexOf("/") + 1).includes(":") ? image : `${image}:latest`;
}

/** The registry that a reference names; empty for Docker's own. */
function registryOf(image: string): string {
  const slash = image.indexOf("/"), first = image.slice(0, Math.max(slash, 0));
  return first === "localhost" || /[.:]/.test(first) ? first : "";
}

/** True if both references are of the same registry, so that its credentials are for both. */
export function isOfOneRegistry(image: string, other: string): boolean {
  return registryOf(image) === registryOf(other);
}

/** True if the reference names exact content, which no pull can change. */
export function isPinned(image: string): boolean {
  return /@sha256:[0-9a-f]{64}$/.test(image);
}

/** True if a registry was asked without a password and said that it has no such image, which Docker's own words say too. */
export function isUnknownImage(why: string): boolean {
  return /pull access denied|manifest for .* not found|manifest unknown|repository .* not found/.test(why) &&
    !/unauthorized|no basic auth|authentication required/.test(why);
}

/** True if a device of this architecture runs images for `image` by itself. */
export function runsOn(device: string, image: string): boolean {
  return sameArchitecture(device, image) ||
    ALSO_RUNS.some(([big, small]) => sameArchitecture(device, big) && image === small);
}
