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

/** The first line of the file at `path`, which holds the `what` of a flag. */
export async function firstLineOf(path: string, what: string): Promise<string> {
  const text = await Deno.readTextFile(path).catch((thrown) => {
    throw cannot(`read the ${what} file ${path}`, thrown);
  });
  const [line = ""] = text.split(/\r?\n/, 1);
  if (line !== "") return line;
  throw new CoveyError("invalid_argument", `Cannot use the ${what} in ${path}: its first line is empty`);
}
