/** One call of the shim, which does for the agent what its sandbox lets nobody do. */
import { CoveyError } from "../api/errors.ts";

/** The answer of `shim` to `args`. `input` goes to its standard input: whoever lists processes sees the arguments only. */
export async function askShim(
  shim: string,
  args: string[],
  input: Uint8Array = new Uint8Array(),
): Promise<string> {
  const child = spawn(shim, args);
  const writing = new Response(input as Uint8Array<ArrayBuffer>).body!.pipeTo(child.stdin);
  const [{ stdout }] = await Promise.all([child.output(), writing.catch(() => {})]);
  return new TextDecoder().decode(stdout);
}

function spawn(shim: string, args: string[]): Deno.ChildProcess {
  const options = { args, clearEnv: true, stdin: "piped", stdout: "piped", stderr: "null" } as const;
  try {
    return new Deno.Command(shim, options).spawn();
  } catch (cause) {
    // Out of processes or memory: that passes.
    throw new CoveyError("unavailable", `Cannot run ${shim}: ${CoveyError.from(cause).message}`, { cause });
  }
}
