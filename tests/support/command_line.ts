/** The command lines of the programs under `tests/`. */
import { parseArgs } from "node:util";

/** Flags with numbers, and what they are where the command line says nothing. */
type Numbers = Record<string, number | undefined>;

/**
 * Takes the flags named by `defaults`, each with a number of at least 0. With `--help`, or with what it does not
 * understand, prints `usage` and ends the program, with status 0 or 2.
 */
export function commandLine<N extends Numbers>(
  usage: string,
  defaults: N,
): { numbers: N; positionals: string[] } {
  try {
    const options: Record<string, { type: "string" | "boolean"; short?: string }> = {
      help: { type: "boolean", short: "h" },
    };
    for (const name of Object.keys(defaults)) options[name] = { type: "string" };
    const { values, positionals } = parseArgs({ args: Deno.args, allowPositionals: true, options });
    if (values.help) end(usage, 0);
    const numbers = Object.entries(defaults).map(([name, value]) => [
      name,
      typeof values[name] === "string" ? numberOf(name, values[name]) : value,
    ]);
    return { numbers: Object.fromEntries(numbers) as N, positionals };
  } catch (error) {
    return end(`${error instanceof Error ? error.message : error}\n${usage}`, 2);
  }
}

function numberOf(name: string, text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new Error(`--${name}: want a number of at least 0, not ${JSON.stringify(text)}`);
}

function end(text: string, status: number): never {
  (status === 0 ? console.log : console.error)(text);
  Deno.exit(status);
}
