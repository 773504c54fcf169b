/** The `covey` command: all its commands, and how it ends. */
import { Command, CommanderError } from "commander";
import config from "../deno.json" with { type: "json" };
import { showableLines } from "../api/characters.ts";
import { CoveyError } from "../api/errors.ts";
import { withoutTokens } from "../api/handed_token.ts";
import { EndedError, ENDING_EXIT } from "./ending.ts";
import { DEFAULT_HOST } from "./client.ts";
import type { Context } from "./context.ts";
import { agentCommands } from "./commands/agent.ts";
import { backupCommands } from "./commands/backup.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { cpCommand } from "./commands/cp.ts";
import { portForwardCommand } from "./commands/port_forward.ts";
import { execCommand } from "./commands/exec.ts";
import { explainCommands } from "./commands/explain.ts";
import { leaveCommand } from "./commands/leave.ts";
import { localCommands } from "./commands/local.ts";
import { networkCommands } from "./commands/network.ts";
import { nodeCommands } from "./commands/node.ts";
import { payloadCommands } from "./commands/payload.ts";
import { planCommand } from "./commands/plan.ts";
import { rolloutCommands } from "./commands/rollout.ts";
import { serviceCommands } from "./commands/service.ts";
import { stackCommands } from "./commands/stack.ts";
import { swarmCommands } from "./commands/swarm.ts";
import { taskCommands } from "./commands/task.ts";
import { variableCommands } from "./commands/variable.ts";

/**
 * Exit codes: 0 done, 1 refused or failed, 2 wrong usage (and a plan that would change something), 3 no manager in reach
 * (worth retrying), 4 to 8 an update that came to rest without being done (`ENDING_EXIT`), 130 ended by Ctrl-C.
 */
const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 3, interrupted: 130 } as const;

/** Runs one command line; resolves with its exit code and never throws for what the user or the server did. */
export async function runCovey(args: string[], context: Context): Promise<number> {
  const program = new Command("covey")
    .description("Docker Swarm's model for fleets of small devices")
    .option(
      "-H, --host <address>",
      `control socket: unix:///path or tcp://HOST:PORT (default: COVEY_HOST, or ${DEFAULT_HOST})`,
    )
    .version(`covey ${config.version}`, "-v, --version")
    .usage("[options] <command>")
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.output.write(text),
      writeErr: (text) => context.output.note(withoutTokens(text)),
    })
    .showHelpAfterError("(add --help for the flags)");
  program.argument("[command]").action((command?: string) =>
    command === undefined ? program.help() : program.error(`error: unknown command "${command}"`)
  );
  swarmCommands(program, context);
  nodeCommands(program, context);
  serviceCommands(program, context);
  planCommand(program, context);
  stackCommands(program, context);
  rolloutCommands(program, context);
  taskCommands(program, context);
  execCommand(program, context);
  cpCommand(program, context);
  portForwardCommand(program, context);
  explainCommands(program, context);
  payloadCommands(program, context);
  networkCommands(program, context);
  variableCommands(program, context);
  agentCommands(program, context);
  backupCommands(program, context);
  doctorCommand(program, context);
  localCommands(program, context);
  leaveCommand(program, context);
  inheritSettings(program);
  try {
    await program.parseAsync(args, { from: "user" });
    return context.exitCode ?? EXIT.ok;
  } catch (thrown) {
    return exitCodeOf(thrown, context);
  }
}

/** Commander copies settings to subcommands only when they are made after; ours are made by others. */
function inheritSettings(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inheritSettings(child);
  }
}

function exitCodeOf(thrown: unknown, context: Context): number {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (context.signal.aborted) {
    context.output.note("covey: Ended by Ctrl-C; what was asked for may happen all the same\n");
    return EXIT.interrupted;
  }
  const error = CoveyError.from(thrown, "unknown");
  context.output.note(`covey: ${showableLines(error.message)}\n`);
  if (thrown instanceof EndedError) return ENDING_EXIT[thrown.ending];
  if (error.code === "unavailable") return EXIT.unavailable;
  // A refusal by the server has a cause, its HTTP status. Without a cause it was the command line that refused a flag.
  if (error.code === "invalid_argument" && error.cause === undefined) return EXIT.usage;
  return EXIT.failed;
}
