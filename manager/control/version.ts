/** The optimistic lock as clients meet it. */
import { CoveyError } from "../../api/errors.ts";
import type { Meta } from "../../api/objects.ts";

/** Throws `aborted` unless `version` is the stored object's. */
export function requireVersion(stored: Meta, version: number): void {
  if (stored.Version.Index !== version) throw new CoveyError("aborted", "update out of sequence");
}
