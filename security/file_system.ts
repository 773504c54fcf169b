/** The disk as it is handed to what keeps keys, so that tests can cut the power between any two writes. */

/** Few operations, each of which a crash may interrupt. Paths are absolute or relative to the process. */
export interface FileSystem {
  /** The contents, or undefined when there is no such file. */
  readFile(path: string): Promise<Uint8Array | undefined>;
  /** Creates or replaces the file with `mode` and returns once its contents are on disk. */
  writeFile(path: string, data: Uint8Array, mode: number): Promise<void>;
  /** Replaces `to` in one step. */
  rename(from: string, to: string): Promise<void>;
  /** Creates the folder and its parents with `mode`; one that exists is left alone. */
  makeFolder(path: string, mode: number): Promise<void>;
  /** Removes a file; one that is absent is no error. */
  removeFile(path: string): Promise<void>;
  /** Returns once renames in the folder are on disk. */
  syncFolder(path: string): Promise<void>;
}

/** The machine's disk. */
export const systemFileSystem: FileSystem = {
  async readFile(path) {
    try {
      return await Deno.readFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  },
  async writeFile(path, data, mode) {
    using file = await Deno.open(path, { write: true, create: true, truncate: true, mode });
    await Deno.chmod(path, mode); // `mode` above only counts for a file that is new
    for (let at = 0; at < data.length;) at += await file.write(data.subarray(at));
    await file.sync();
  },
  rename: (from, to) => Deno.rename(from, to),
  makeFolder: (path, mode) => Deno.mkdir(path, { recursive: true, mode }),
  async removeFile(path) {
    try {
      await Deno.remove(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  },
  async syncFolder(path) {
    using folder = await Deno.open(path, { read: true });
    await folder.sync();
  },
};

/** Replaces `folder/name` so that a crash leaves either the old contents or the new, never a part. */
export async function writeFileAtomically(
  fs: FileSystem,
  folder: string,
  name: string,
  data: Uint8Array,
  mode: number,
): Promise<void> {
  const temporary = `${folder}/${name}.tmp`;
  await fs.writeFile(temporary, data, mode);
  await fs.rename(temporary, `${folder}/${name}`);
  await fs.syncFolder(folder);
}

/** Whether there is something at `path` on the machine's disk. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
