/** Programs that believe in another time than the machine's; nothing of the programs is changed. */

export const DAY_MS = 86_400_000;

/** A deno for the launchers that is `aheadMs` ahead: a number, or any expression of JavaScript. */
export async function denoAhead(folder: string, name: string, aheadMs: number | string): Promise<string> {
  const clock = `${folder}/clock-${name}.js`, deno = `${folder}/deno-${name}`, real = Deno.execPath();
  await Deno.writeTextFile(clock, `const now = Date.now;\nDate.now = () => now() + (${aheadMs});\n`);
  const script =
    `#!/bin/sh\n[ "$1" = run ] || exec ${real} "$@"\nshift\nexec ${real} run --preload ${clock} "$@"\n`;
  await Deno.writeTextFile(deno, script);
  await Deno.chmod(deno, 0o755);
  return deno;
}
