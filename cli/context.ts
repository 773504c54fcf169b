/** What every command gets to work with. */
import type { Command } from "commander";
import { ControlClient, DEFAULT_HOST } from "./client.ts";
import type { Output } from "./output.ts";

/** A command's surroundings. */
export interface Context {
  output: Output;
  /** Environment variables. */
  env(name: string): string | undefined;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
}

/** Runs `action` with a client for the host of `-H` or COVEY_HOST, and closes it. */
export async function withClient<R>(
  context: Context,
  command: Command,
  action: (client: ControlClient) => Promise<R>,
): Promise<R> {
  const client = new ControlClient(
    command.optsWithGlobals<{ host?: string }>().host ?? context.env("COVEY_HOST") ?? DEFAULT_HOST,
  );
  try {
    return await action(client);
  } finally {
    client.close();
  }
}

/** Gathers a flag that may be given several times. */
export function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

/**
 * Runs `action` for each reference, going on after a failure as docker does, and throws the first error in the end.
 * Every failure is shown.
 */
export async function forEachReference(
  output: Output,
  references: string[],
  action: (reference: string) => Promise<void>,
): Promise<void> {
  const errors: unknown[] = [];
  for (const reference of references) {
    try {
      await action(reference);
    } catch (thrown) {
      if (errors.length > 0) output.note(`covey: ${thrown instanceof Error ? thrown.message : thrown}\n`);
      errors.push(thrown);
    }
  }
  if (errors.length > 0) throw errors[0];
}
