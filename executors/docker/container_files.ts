/** The secrets and configs of a container: read-only binds of files in memory, at the places that Docker gives them. */
import { dependenciesOf, type Dependency } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import type { Dependencies } from "../executor.ts";
import { asVariable, type MemoryFolder } from "../memory_folder.ts";

/** Where a name that is no path leads. */
const PLACE: Record<Dependency["Kind"], string> = { secret: "/run/secrets/", config: "/" };

/** Where a container has the folders of files that change while it runs. */
const LIVE_FOLDER = "/run/covey";

/** Under which name a file is kept: whatever the target, which may be a path. */
export function fileName(_dependency: Dependency, index: number): string {
  return String(index);
}

function readOnly(Source: string, Target: string) {
  return { Type: "bind", Source, Target, ReadOnly: true } as const;
}

/** What a container gets besides what its spec says by itself. */
export interface ContainerFiles {
  mounts: { Type: "bind"; Source: string; Target: string; ReadOnly: true }[];
  /** Places in the container that lead to a file of a folder which is mounted as a whole. */
  links: { at: string; to: string }[];
  /** Configs as `NAME=value`. */
  env: string[];
}

/** Writes the files of `task`, whatever their names, and says where they go. Rejects as {@linkcode MemoryFolder.write} does. */
export async function containerFiles(
  task: Task,
  dependencies: Dependencies,
  memory: MemoryFolder,
): Promise<ContainerFiles> {
  const placed = await memory.write(task, dependencies, fileName);
  const folders = new Map<string, string>(), mounts: ContainerFiles["mounts"] = [];
  const links: ContainerFiles["links"] = [];
  for (const { dependency: { Kind, File: { Name }, Signal }, path } of placed) {
    const target = Name.startsWith("/") ? Name : PLACE[Kind] + Name;
    // A mounted file stays the one that it was: a new version has to be found through its folder.
    if (Signal === undefined) mounts.push(readOnly(path, target));
    else {
      const end = path.lastIndexOf("/");
      folders.set(`${LIVE_FOLDER}/${Kind}s`, path.slice(0, end));
      links.push({ at: target, to: `${LIVE_FOLDER}/${Kind}s${path.slice(end)}` });
    }
  }
  for (const [target, source] of folders) mounts.push(readOnly(source, target));
  const env: string[] = [];
  for (const dependency of dependenciesOf(task.Spec)) {
    if (dependency.Env === undefined) continue;
    env.push(
      `${dependency.Env}=${asText(dependency, await dependencies.read(dependency.Kind, dependency.ID))}`,
    );
  }
  return { mounts, links, env };
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
