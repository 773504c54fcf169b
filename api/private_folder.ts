/** Folders for what nobody else on the machine may see: keys, tasks with their variables, logs. */

/** Makes the folder and its parents, and has one that is there already closed to other users as well. */
export async function makePrivateFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  await Deno.chmod(path, 0o700);
}
