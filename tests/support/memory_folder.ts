/** Where the shim keeps the secrets of tasks in memory. */

/** The folder of the executor whose files are in `stateDir`, as the shim names it. */
export async function memoryFolderOf(stateDir: string): Promise<string> {
  const script = 'printf "/dev/shm/covey-%s/%s" "$(id -u)" "$(printf %s "$1" | cksum | tr " " -)"';
  const { stdout } = await new Deno.Command("/bin/sh", { args: ["-c", script, "sh", stateDir] }).output();
  return new TextDecoder().decode(stdout);
}

/** What is in a folder; nothing if there is none. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
