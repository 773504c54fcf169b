/** Entry point of `deno task covey`. */
import process from "node:process";
import { systemConsole } from "./console.ts";
import { runCovey } from "./program.ts";

const stopped = new AbortController();
let interrupts = 0, onInterrupt: (() => void) | undefined;
Deno.addSignalListener("SIGINT", () => {
  if (onInterrupt) return onInterrupt();
  stopped.abort();
  if (++interrupts > 1) Deno.exit(130);
});

const code = await runCovey(Deno.args, {
  env: (name) => Deno.env.get(name),
  signal: stopped.signal,
  console: systemConsole((listener) => onInterrupt = listener),
  output: {
    write: (text) => void process.stdout.write(text),
    note: (text) => void process.stderr.write(text),
    interactive: Deno.stderr.isTerminal(),
    nowMs: () => Date.now(),
  },
});
Deno.exit(code);
