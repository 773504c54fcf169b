/** `covey local`: for the person in front of a device, without a manager. */
import type { Command } from "commander";
import { parseGoDuration, toMs } from "../../api/duration.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Context } from "../context.ts";
import { LocalClient } from "../local_client.ts";
import { printList, shownID } from "../output.ts";
import { formatAge, parseCount } from "../units.ts";

/** A task as the agent shows it. */
interface LocalTask {
  ID: string;
  Service: string;
  Slot: number;
  Version: string;
  Runtime: string;
  State: string;
  Since: string;
  Err?: string;
  LockedUntil?: string;
  Update?: { Version: string; State: string; Reason?: string };
}

/** Adds the commands. */
export function localCommands(program: Command, context: Context): void {
  const local = program.command("local").description("Look after this device's own tasks, without a manager")
    .option("--state-dir <dir>", "the agent's state folder (default: where an installed one has it)");
  const withLocal = async (action: (client: LocalClient) => Promise<void>) => {
    const client = new LocalClient(local.opts<{ stateDir?: string }>().stateDir);
    try {
      await action(client);
    } finally {
      client.close();
    }
  };
  local.command("ps").description("List the tasks of this device")
    .option("--format <format>", '"json" or "table"').option("-q, --quiet", "only IDs").option(
      "--no-trunc",
      "whole IDs",
    )
    .action((options) => withLocal((client) => ps(context, client, options)));
  local.command("logs").description("Show what a task has printed").argument("<task>", "an ID, or a service")
    .option("-f, --follow", "go on with what it prints from now on")
    .option("-n, --tail <number>", "only so many lines from the end", "100")
    .action((task: string, { follow, tail }) =>
      withLocal(async (client) => {
        const query = `tail=${parseCount("tail", tail)}${follow ? "&follow=1" : ""}`;
        const decoder = new TextDecoder();
        for await (
          const piece of client.text(`/v1/tasks/${encodeURIComponent(task)}/logs?${query}`, context.signal)
        ) {
          context.output.write(decoder.decode(piece, { stream: true }));
        }
      })
    );
  local.command("restart").description("End the program of a task, and run it again").argument(
    "<task>",
    "an ID, or a service",
  )
    .action((task: string) =>
      withLocal(async (client) => {
        await client.call("POST", `/v1/tasks/${encodeURIComponent(task)}/restart`);
        context.output.write(`${task}\n`);
      })
    );
  local.command("lock").description("Keep new versions away from this device for a while")
    .option("--for <duration>", "how long; at most 24h", "1h")
    .action((options) =>
      withLocal(async (client) => {
        const { Until } = await client.call<{ Until: string }>("PUT", "/v1/lock", {
          Seconds: secondsOf(options.for),
        });
        context.output.write(`locked until ${Until}\n`);
      })
    );
  local.command("unlock").description("Let new versions in again")
    .action(() => withLocal(async (client) => void await client.call("DELETE", "/v1/lock")));
}

function secondsOf(text: string): number {
  const duration = parseGoDuration(text);
  if (duration !== undefined) return Math.round(toMs(duration) / 1000);
  throw new CoveyError(
    "invalid_argument",
    `Cannot read --for as a duration such as 30m: current value is "${text}"`,
  );
}

async function ps(
  { output }: Context,
  client: LocalClient,
  options: { format?: string; quiet?: boolean; trunc?: boolean },
): Promise<void> {
  const tasks = await client.call<LocalTask[]>("GET", "/v1/tasks");
  printList(
    output,
    options,
    tasks.toSorted((a, b) => a.Service.localeCompare(b.Service) || a.Slot - b.Slot),
    {
      header: ["ID", "SERVICE", "VERSION", "RUNTIME", "STATE", "UPDATE", "ERROR"],
      id: ({ ID }) => ID,
      row: (task) => [
        shownID(task.ID, options),
        task.Service,
        task.Version,
        task.Runtime,
        `${task.State} ${formatAge(task.Since, output.nowMs()).toLowerCase()}`,
        updateOf(task),
        task.Err ?? "",
      ],
    },
  );
}

function updateOf({ Update, LockedUntil }: LocalTask): string {
  const lock = LockedUntil === undefined ? "" : `locked until ${LockedUntil}`;
  if (!Update) return lock;
  return [`${Update.Version} ${Update.State}${Update.Reason ? `: ${Update.Reason}` : ""}`, lock].filter((
    text,
  ) => text !== "")
    .join(", ");
}
