/**
 * The files of secrets and configs that tasks read, in a folder that only memory holds:
 *
 *     TASK/secrets/NAME   TASK/configs/NAME   TASK/env/VARIABLE
 *
 * Only the task's user gets into TASK; what the files are to each other's users, their own modes say.
 */
import { dependenciesOf, type Dependency } from "../api/dependency.ts";
import { CoveyError } from "../api/errors.ts";
import type { Task } from "../api/task.ts";
import type { Dependencies } from "./executor.ts";

/** A reference, and the file that holds what it names. */
export interface PlacedFile {
  dependency: Dependency;
  path: string;
}

/** One executor's part of the memory. */
export class MemoryFolder {
  readonly #path: string | undefined;

  /** `path` is undefined where the device has no memory file system. */
  constructor(path: string | undefined) {
    this.#path = path;
  }

  /** The folder of `task`; undefined if it references nothing. Throws `failed_precondition` where there can be none. */
  of({ ID, Spec }: Task): string | undefined {
    if (dependenciesOf(Spec).length === 0) return undefined;
    if (this.#path !== undefined) return `${this.#path}/${ID}`;
    const why = "this device has no memory file system for them, and they are never written to a disk";
    throw new CoveyError("failed_precondition", `Cannot prepare the task's secrets and configs: ${why}`);
  }

  /**
   * Writes the files of `task` anew. `name` says under which name a reference's file is kept. Rejects as
   * {@linkcode Dependencies.read} does, and with `failed_precondition` where a file cannot get its owner.
   */
  async write(
    task: Task,
    dependencies: Dependencies,
    name: (dependency: Dependency, index: number) => string,
  ): Promise<PlacedFile[]> {
    const folder = this.of(task);
    if (folder === undefined) return [];
    const references = dependenciesOf(task.Spec);
    // Read first: a task that may not have all of it gets nothing.
    const contents = await Promise.all(references.map(({ Kind, ID }) => dependencies.read(Kind, ID)));
    await removeFolder(folder);
    // Users of tasks pass through it, and see no names.
    await Deno.mkdir(this.#path!, { recursive: true });
    await Deno.chmod(this.#path!, 0o711);
    await Deno.mkdir(folder, { mode: 0o700 });
    for (const part of ["secrets", "configs", "env"]) await makeFolder(`${folder}/${part}`);
    const placed: PlacedFile[] = [];
    for (const [index, dependency] of references.entries()) {
      const { Kind, File: { UID, GID, Mode }, Env } = dependency, bytes = contents[index]!;
      const path = `${folder}/${Kind}s/${name(dependency, index)}`;
      await writeFile(path, bytes, Mode);
      await giveTo(path, dependency.Name, UID, GID);
      placed.push({ dependency, path });
      if (Env !== undefined) await writeFile(`${folder}/env/${Env}`, asVariable(dependency, bytes), 0o444);
    }
    return placed;
  }

  /** Removes what is kept of a task. */
  async remove(taskID: string): Promise<void> {
    if (this.#path !== undefined) await removeFolder(`${this.#path}/${taskID}`);
  }

  /** IDs of all tasks that something is kept of. */
  async taskIDs(): Promise<string[]> {
    if (this.#path === undefined) return [];
    try {
      return (await Array.fromAsync(Deno.readDir(this.#path))).map(({ name }) => name);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }
}

/** The bytes of a reference as a variable holds them. Throws `invalid_argument` for what none can. */
export function asVariable({ Kind, Name, Env }: Dependency, bytes: Uint8Array): Uint8Array {
  if (!bytes.includes(0)) return bytes;
  throw new CoveyError(
    "invalid_argument",
    `Cannot put ${Kind} ${Name} into the variable ${Env}: it holds a zero byte`,
  );
}

async function makeFolder(path: string): Promise<void> {
  await Deno.mkdir(path);
  await Deno.chmod(path, 0o755);
}

async function writeFile(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  // Nobody else shall have it open while its mode is not set.
  await Deno.writeFile(path, bytes, { createNew: true, mode: 0o600 });
  await Deno.chmod(path, mode);
}

/** An agent that is not root cannot give files away: then 0, which is what nobody has chosen, stays its own. */
async function giveTo(path: string, title: string, uid: string, gid: string): Promise<void> {
  try {
    await Deno.chown(path, Number(uid), Number(gid));
  } catch (cause) {
    if (uid === "0" && gid === "0") return;
    const why = `only an agent that runs as root can give it to ${uid}:${gid}`;
    throw new CoveyError("failed_precondition", `Cannot prepare ${title}: ${why}`, { cause });
  }
}

async function removeFolder(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
