/** What every command gets to work with. */
import type { Command } from "commander";
import { CoveyError } from "../api/errors.ts";
import type { Console } from "./console.ts";
import { ControlClient, DEFAULT_HOST } from "./client.ts";
import type { Output } from "./output.ts";

/** Exit code of a plan that would change something, as `terraform plan -detailed-exitcode` has it. */
export const EXIT_CHANGES = 2;

/** A command's surroundings. */
export interface Context {
  output: Output;
  /** Environment variables. */
  env(name: string): string | undefined;
  /** What a command ends with that did what it was asked for, where that is not 0. */
  exitCode?: number;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  /** Where the command was typed, for those that need more of it than to print. */
  console?: Console;
}

/** Throws where there is nobody to talk to. */
export function requireConsole({ console }: Context): Console {
  if (console) return console;
  throw new CoveyError("failed_precondition", "Cannot go on: there is no terminal and nothing in its place");
}

/** Runs `action` with a client for the host of `-H` or COVEY_HOST, and closes it. */
export async function withClient<R>(
  context: Context,
  command: Command,
  action: (client: ControlClient) => Promise<R>,
): Promise<R> {
  const host = command.optsWithGlobals<{ host?: string }>().host ?? context.env("COVEY_HOST") ?? DEFAULT_HOST;
  const client = new ControlClient(host, {
    signal: context.signal,
    onSlow: () => context.output.note(`Waiting for an answer of ${host} ... (Ctrl-C ends the waiting)\n`),
  });
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

/** Adds the flags that every list has; `--filter` narrows it to what matches. */
export function listFlags(command: Command, what: string): Command {
  return command.option("--format <format>", '"json" or "table"').option("-q, --quiet", "only IDs")
    .option("--no-trunc", "whole IDs")
    .option("-f, --filter <key=value>", `only ${what} that match`, collect, []);
}

/**
 * Runs `action` for each reference, going on after a failure as docker does, and throws in the end: the first error's code,
 * and every failure's message in the order of the references.
 */
export async function forEachReference(
  references: string[],
  action: (reference: string) => Promise<void>,
): Promise<void> {
  const errors: CoveyError[] = [];
  for (const reference of references) {
    try {
      await action(reference);
    } catch (thrown) {
      if (thrown instanceof DOMException) throw thrown;
      errors.push(CoveyError.from(thrown, "unknown"));
    }
  }
  const [first, second] = errors;
  if (first === undefined || second === undefined) {
    if (first) throw first;
    return;
  }
  const message = errors.map((error) => error.message).join("\ncovey: ");
  throw new CoveyError(first.code, message, { cause: first.cause });
}
