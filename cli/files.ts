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

/** Bytes of the largest config that a cluster takes: what has no end is not read to it. */
export const MAX_PAYLOAD_BYTES = 1000 * 1024;

/** All of a file, or with `-` of standard input. Throws for one of more than `maxBytes`. */
export async function readAll(path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const what = path === "-" ? "standard input" : path;
  const bytes = new Uint8Array(maxBytes + 1);
  let length = 0;
  const file = path === "-" ? Deno.stdin : await Deno.open(path).catch((thrown) => {
    throw cannot(`read ${what}`, thrown);
  });
  try {
    while (length < bytes.length) {
      const count = await file.read(bytes.subarray(length));
      if (count === null) return bytes.subarray(0, length);
      length += count;
    }
  } catch (thrown) {
    throw cannot(`read ${what}`, thrown);
  } finally {
    if (path !== "-") file.close();
  }
  throw new CoveyError("invalid_argument", `Cannot use ${what}: it has more than ${maxBytes} bytes`);
}
