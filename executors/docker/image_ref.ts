/** Image references, as far as a pull needs to read them. */

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
