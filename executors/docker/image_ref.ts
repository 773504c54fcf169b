/** Image references, as far as a pull needs to read them. */

/** `busybox` as `busybox:latest`; a reference with a tag or digest stays what it is (reference.TagNameOnly). */
export function withDefaultTag(image: string): string {
  if (image.includes("@")) return image;
  // A colon before the last slash belongs to a registry's port.
  return image.slice(image.lastIndexOf("/") + 1).includes(":") ? image : `${image}:latest`;
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
