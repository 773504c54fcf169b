/** The pipe on which a parent process, the only one that holds it open, speaks to this one. */

/** Characters of what a parent said that count: its words are short. */
const MAX_LAST_CHARACTERS = 64;

/** Bytes of a line that a parent speaks first, at most. */
const MAX_LINE_BYTES = 256;

/** A program that ends with this code is well, and wants to be started again at once. */
export const START_AGAIN = 75;

/** The line that the parent speaks first; what follows is left on the pipe. */
export async function firstLineOfParent(): Promise<string> {
  const bytes: number[] = [], byte = new Uint8Array(1);
  while (bytes.length < MAX_LINE_BYTES && await Deno.stdin.read(byte) !== null && byte[0] !== 10) {
    bytes.push(byte[0]!);
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

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
