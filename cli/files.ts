/** Small questions to the disk. */
import { CoveyError } from "../api/errors.ts";

/** True if something is at `path`. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}

/** The system's error as `Cannot WHAT: WHY`, without the system call that the runtime adds. */
export function cannot(what: string, thrown: unknown): CoveyError {
  const why = CoveyError.from(thrown).message.replace(/: \w+ '[^']*'( -> '[^']*')?$/, "");
  return new CoveyError("unknown", `Cannot ${what}: ${why}`, { cause: thrown });
}
