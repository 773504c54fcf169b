/** Tar archives of what is here, and what is here from one. Nothing in an archive decides where it lands. */
import { Buffer } from "node:buffer";
import { basename, dirname, join } from "node:path";
import { CoveyError } from "../api/errors.ts";

/** The file or folder at `path` as an archive in which it is called `name`. */
export async function* packed(path: string, name: string): AsyncGenerator<Uint8Array, void> {
  const { create } = await import("tar");
  const own = basename(path);
  const stream = create({
    cwd: dirname(path),
    portable: true,
    onWriteEntry: (entry) => {
      const inside = entry.path.replace(/^\.\//, "");
      if (inside === own || inside.startsWith(`${own}/`)) entry.path = name + inside.slice(own.length);
    },
  }, [`./${own}`]);
  for await (const piece of stream as unknown as AsyncIterable<Uint8Array>) yield piece;
}

/**
 * Unpacks an archive of one file or folder to `path`, where it then is. It is made in a folder of its own first: absolute paths,
 * `..` and links lead nowhere else, and what breaks off leaves nothing. Throws `already_exists` where a folder is in its way.
 */
export async function unpacked(archive: AsyncIterable<Uint8Array>, path: string): Promise<string> {
  const { Unpack } = await import("tar");
  const parent = dirname(path), present = await Deno.lstat(path).catch(() => undefined);
  if (present?.isDirectory) {
    throw new CoveyError("already_exists", `Cannot copy: there is a folder at ${path}`);
  }
  const folder = await Deno.makeTempDir({ dir: parent, prefix: ".covey-cp-" });
  try {
    const unpack = new Unpack({ cwd: folder, strict: true, preservePaths: false, preserveOwner: false });
    const done = new Promise<void>((resolve, reject) => unpack.on("close", resolve).on("error", reject));
    done.catch(() => {});
    for await (const piece of archive) {
      if (!unpack.write(Buffer.from(piece.buffer, piece.byteOffset, piece.length))) {
        await Promise.race([
          done,
          new Promise((go) => unpack.once("drain", () => go(0))),
        ]);
      }
    }
    unpack.end();
    await done;
    await Deno.rename(join(folder, await onlyOne(folder)), path);
  } catch (thrown) {
    if (thrown instanceof CoveyError) throw thrown;
    throw new CoveyError("data_loss", `Cannot copy: ${CoveyError.from(thrown).message}`, { cause: thrown });
  } finally {
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
  return path;
}

async function onlyOne(folder: string): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  if (names.length === 1) return names[0]!;
  throw new CoveyError(
    "data_loss",
    `Cannot copy: the archive has ${names.length} things in it instead of one`,
  );
}
