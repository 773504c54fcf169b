/** The secrets and configs of a container: read-only binds of files in memory, at the places that Docker gives them. */
import { dependenciesOf, type Dependency } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import type { Dependencies } from "../executor.ts";
import { asVariable, type MemoryFolder } from "../memory_folder.ts";

/** Where a name that is no path leads. */
const PLACE: Record<Dependency["Kind"], string> = { secret: "/run/secrets/", config: "/" };

/** What a container gets besides what its spec says by itself. */
export interface ContainerFiles {
  mounts: { Type: "bind"; Source: string; Target: string; ReadOnly: true }[];
  /** Configs as `NAME=value`. */
  env: string[];
}

/** Writes the files of `task`, whatever their names, and says where they go. Rejects as {@linkcode MemoryFolder.write} does. */
export async function containerFiles(
  task: Task,
  dependencies: Dependencies,
  memory: MemoryFolder,
): Promise<ContainerFiles> {
  const placed = await memory.write(task, dependencies, (_, index) => String(index));
  const mounts = placed.map(({ dependency: { Kind, File: { Name } }, path }) => ({
    Type: "bind" as const,
    Source: path,
    Target: Name.startsWith("/") ? Name : PLACE[Kind] + Name,
    ReadOnly: true as const,
  }));
  const env: string[] = [];
  for (const dependency of dependenciesOf(task.Spec)) {
    if (dependency.Env === undefined) continue;
    env.push(
      `${dependency.Env}=${asText(dependency, await dependencies.read(dependency.Kind, dependency.ID))}`,
    );
  }
  return { mounts, env };
}

function asText(dependency: Dependency, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(asVariable(dependency, bytes));
  } catch (cause) {
    if (cause instanceof CoveyError) throw cause;
    const { Kind, Name, Env } = dependency;
    throw new CoveyError(
      "invalid_argument",
      `Cannot put ${Kind} ${Name} into the variable ${Env}: it is not UTF-8`,
    );
  }
}
