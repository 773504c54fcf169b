/** The longest that a program may take which a test waits for; one that hangs would keep its thread for good. */
const MAX_PROGRAM_SECONDS = 120;

/** A command that is ended when it takes too long, with code 124. */
export function limited(program: string, args: string[]): [string, string[]] {
  return ["timeout", ["--kill-after=5", `${MAX_PROGRAM_SECONDS}`, program, ...args]];
}

/** Signals a program that may have ended by itself just now. */
export function signalled(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended; what it printed may not all be read yet.
  }
}
