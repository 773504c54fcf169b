/** Folders for what nobody else on the machine may see: keys, tasks with their variables, logs. */

/** Makes the folder and its parents, and has one that is there already closed to other users as well. */
export async function makePrivateFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  await Deno.chmod(path, 0o700);
}

/**
 * The same for a folder that leads to what others may reach by name: tasks, which root's agent runs as users of their own, get
 * through to their own folders. Nobody may list it, and what else is in it has modes of its own.
 */
export async function makePassableFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  const isRoots = (await Deno.stat(path)).uid === 0;
  await Deno.chmod(path, isRoots ? 0o711 : 0o700);
}
