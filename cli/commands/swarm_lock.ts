/** `covey swarm …` about the lock on managers: `update --autolock`, `unlock-key` and `unlock`. */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import type { InfoView, SwarmView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import { type Context, withClient } from "../context.ts";
import { firstInputLine } from "../input_line.ts";
import { parseChoice } from "../units.ts";

/** Adds the commands. */
export function lockCommands(swarm: Command, context: Context): void {
  update(swarm, context);
  unlockKey(swarm, context);
  unlock(swarm, context);
}

function update(swarm: Command, context: Context) {
  swarm.command("update").description("Change the cluster's settings")
    .option("--autolock <true|false>", "whether a manager that starts asks for the unlock key")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        if (options.autolock === undefined) {
          throw usage("change the swarm", "name a setting, such as --autolock");
        }
        const AutoLockManagers = parseChoice("autolock", options.autolock, ["true", "false"]) === "true";
        const { Version, Spec } = await client.get<SwarmView>("/swarm");
        const wanted = { ...Spec, EncryptionConfig: { AutoLockManagers } };
        await client.post("/swarm/update", wanted, { version: Version.Index });
        context.output.write("Swarm updated.\n");
        if (AutoLockManagers) {
          await printUnlockKey(client, context);
        }
      })
    );
}

function unlockKey(swarm: Command, context: Context) {
  swarm.command("unlock-key").description("Show or rotate the key that unlocks managers")
    .option("--rotate", "make a new key; a manager that is off now needs the old one once more")
    .option("-q, --quiet", "only the key")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        if (options.rotate) {
          const { Version, Spec } = await client.get<SwarmView>("/swarm");
          if (!Spec.EncryptionConfig.AutoLockManagers) {
            throw usage("rotate the unlock key", "the swarm does not lock its managers");
          }
          await client.post("/swarm/update", Spec, { version: Version.Index, rotateManagerUnlockKey: true });
          if (!options.quiet) context.output.write("Successfully rotated the unlock key.\n\n");
        }
        if (options.quiet) context.output.write(`${await keyOf(client)}\n`);
        else await printUnlockKey(client, context);
      })
    );
}

function unlock(swarm: Command, context: Context) {
  swarm.command("unlock").description("Unlock this manager with the key on a line of standard input")
    .action((_options, command) =>
      withClient(context, command, async (client) => {
        const { Swarm } = await client.get<InfoView>("/info");
        if (Swarm.LocalNodeState !== "locked") {
          throw usage("unlock the manager", `it is not locked, but ${Swarm.LocalNodeState}`);
        }
        const key = await firstInputLine(context, "Unlock key");
        await client.post("/swarm/unlock", { UnlockKey: key.trim() });
        context.output.write("This manager is unlocked.\n");
      })
    );
}

async function keyOf(client: ControlClient): Promise<string> {
  const { UnlockKey } = await client.get<{ UnlockKey: string }>("/swarm/unlockkey");
  if (UnlockKey !== "") return UnlockKey;
  throw usage("show the unlock key", "the swarm does not lock its managers");
}

/** Says the key, and what to do with it. */
export async function printUnlockKey(client: ControlClient, context: Context): Promise<void> {
  context.output.write(
    `A manager that starts again has to be unlocked, by \`covey swarm unlock\` and this key:\n\n    ${await keyOf(
      client,
    )}\n\nKeep it where no manager is: without it, none of them starts again.\n`,
  );
}

function usage(what: string, problem: string): CoveyError {
  return new CoveyError("failed_precondition", `Cannot ${what}: ${problem}`);
}
