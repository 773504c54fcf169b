/** The optimistic lock as clients meet it. */
import { CoveyError } from "../../api/errors.ts";
import type { Meta } from "../../api/objects.ts";

/**
 * Throws `aborted` unless whoever read the object at `version` has seen its present spec. What components wrote beside it since,
 * such as how far an update is, is nothing that a client could overwrite.
 */
export function requireVersion({ Version, SpecSince = Version }: Meta, version: number): void {
  if (version < SpecSince.Index || version > Version.Index) {
    throw new CoveyError("aborted", "update out of sequence");
  }
}
