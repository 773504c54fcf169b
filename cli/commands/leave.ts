/** `covey leave` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import type { Context } from "../context.ts";
import { leaveCluster } from "../doctor.ts";

/** Adds the `leave` command. */
export function leaveCommand(program: Command, context: Context): void {
  program.command("leave")
    .description("Take this device out of its cluster: its tasks are stopped; no manager is needed")
    .option("--state-dir <dir>", "the agent's state folder", "/var/lib/covey")
    .action(async ({ stateDir }) => {
      const code = await leaveCluster(stateDir);
      if (code !== 0) {
        throw new CoveyError(
          "failed_precondition",
          "Cannot leave the cluster: see the line above; an agent that runs has to be stopped before",
        );
      }
      context.output.write("Node left the swarm.\n");
    });
}
