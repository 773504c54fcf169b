/** A line of standard input, for what is not to stand among the flags. */
import type { Context } from "./context.ts";

/** Keys and tokens have some 85 characters at most; a longer line is something else. */
const MAX_LINE_CHARACTERS = 4096;

/** The first line; a person at a terminal is asked for `what`. */
export async function firstInputLine(context: Context, what: string): Promise<string> {
  if (Deno.stdin.isTerminal()) context.output.note(`${what}: `);
  let text = "";
  for await (const piece of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (text.includes("\n") || text.length > MAX_LINE_CHARACTERS) break;
  }
  return text.split(/\r?\n/, 1)[0]!;
}
