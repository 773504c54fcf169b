/** The pipe on which a parent process, the only one that holds it open, speaks to this one. */

/** Characters of what a parent said that count: its words are short. */
const MAX_LAST_CHARACTERS = 64;

/** Resolves once the parent closes the pipe or is gone, however it ended, with the last it said. */
export async function untilParentEnds(): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(MAX_LAST_CHARACTERS);
  while (true) {
    const count = await Deno.stdin.read(buffer).catch(() => null);
    if (count === null) return text;
    text = (text + decoder.decode(buffer.subarray(0, count))).slice(-MAX_LAST_CHARACTERS);
  }
}
