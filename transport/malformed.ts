import { CoveyError } from "../api/errors.ts";

/** A frame that breaks the rules; the connection that brought it is closed. */
export function malformed(problem: string, cause?: unknown): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read frame: ${problem}`, { cause });
}
