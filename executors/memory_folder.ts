/**
 * The files of secrets and configs that tasks read, in a folder that only memory holds. The shim makes it (the agent's sandbox
 * leads to no such place) and knows where it is:
 *
 *     TASK/secrets/NAME   TASK/configs/NAME   TASK/env/VARIABLE
 *
 * Only the task's user gets into TASK; what the files are to that user, their own modes say.
 */
import { dependenciesOf, type Dependency } from "../api/dependency.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { Task } from "../api/task.ts";
import { askShim } from "./ask_shim.ts";
import type { Dependencies } from "./executor.ts";

const log = getLogger(["covey", "secrets"]);

/** Of a reference's mode, what a file gets of it: set-user-ID and the like are no business of what is only read. */
const PERMISSIONS = 0o777;

/** A reference, and the file that holds what it names. */
export interface PlacedFile {
  dependency: Dependency;
  path: string;
}

/** The folder of one executor's tasks. */
export class MemoryFolder {
  readonly #shim: string;
  readonly #stateDir: string;

  /** `shim` is the absolute path of `shim.sh`; no two executors have the same `stateDir`. */
  constructor(shim: string, stateDir: string) {
    this.#shim = shim;
    this.#stateDir = stateDir;
  }

  /**
   * Writes the files of `task` anew. `name` says under which name a reference's file is kept. Rejects as
   * {@linkcode Dependencies.read} does, and with `failed_precondition` where there is no such memory, or where a file cannot
   * get its owner.
   */
  async write(
    task: Task,
    dependencies: Dependencies,
    name: (dependency: Dependency, index: number) => string,
  ): Promise<PlacedFile[]> {
    const references = dependenciesOf(task.Spec);
    if (references.length === 0) return [];
    // Read first: a task that may not have all of it gets nothing.
    const contents = await Promise.all(references.map(({ Kind, ID }) => dependencies.read(Kind, ID)));
    await this.remove(task);
    const placed: PlacedFile[] = [];
    for (const [index, dependency] of references.entries()) {
      const { Env } = dependency, bytes = contents[index]!;
      placed.push({ dependency, path: await this.#place(task, dependency, name(dependency, index), bytes) });
      if (Env !== undefined) {
        await this.#keep(task, ["env", Env, "0444", "0", "0"], asVariable(dependency, bytes));
      }
    }
    return placed;
  }

  /** Puts what `task` references now in the place of its files, each at once. Rejects as {@linkcode write} does. */
  async renew(
    task: Task,
    dependencies: Dependencies,
    name: (dependency: Dependency, index: number) => string,
  ): Promise<void> {
    const references = dependenciesOf(task.Spec);
    const contents = await Promise.all(references.map(({ Kind, ID }) => dependencies.read(Kind, ID)));
    for (const [index, dependency] of references.entries()) {
      if (dependency.Signal === undefined) continue;
      await this.#place(task, dependency, name(dependency, index), contents[index]!);
    }
  }

  async #place(task: Task, { Kind, File }: Dependency, name: string, bytes: Uint8Array): Promise<string> {
    const mode = File.Mode & PERMISSIONS;
    const owned = [mode.toString(8).padStart(4, "0"), File.UID, File.GID];
    return await this.#keep(task, [`${Kind}s`, name, ...owned], bytes);
  }

  /** Removes what is kept of a task. */
  async remove({ ID, Spec }: Task): Promise<void> {
    if (dependenciesOf(Spec).length > 0) await askShim(this.#shim, ["forget", this.#stateDir, ID]);
  }

  /** The same once nobody reads it any more; what cannot be removed now is when the task is. */
  async removeUnread(task: Task): Promise<void> {
    await this.remove(task).catch((error) => {
      log.warn("cannot remove the secrets of task {id} yet: {error}", { id: task.ID, error });
    });
  }

  /** Removes what is kept of tasks for which `keep` says false. */
  async sweep(keep: (taskID: string) => boolean): Promise<string[]> {
    const ids = (await askShim(this.#shim, ["kept", this.#stateDir])).split("\n").filter((id) =>
      id !== "" && !keep(id)
    );
    for (const id of ids) await askShim(this.#shim, ["forget", this.#stateDir, id]);
    return ids;
  }

  async #keep(task: Task, words: string[], bytes: Uint8Array): Promise<string> {
    const answer = (await askShim(this.#shim, ["keep", this.#stateDir, task.ID, ...words], bytes)).trimEnd();
    if (answer.startsWith("kept ")) return answer.slice("kept ".length);
    const why = answer.startsWith("refused ") ? answer.slice("refused ".length) : "the shim does not say why";
    throw new CoveyError(
      "failed_precondition",
      `Cannot keep the task's secrets and configs in memory: ${why}`,
    );
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
