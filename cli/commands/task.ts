/** `covey task …`, and the table of tasks that `service ps` and `node ps` share. */
import type { Command } from "commander";
import type { ServiceView, TaskView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import { type Context, listFlags, withClient } from "../context.ts";
import { hostnames, parseFilters } from "../lookup.ts";
import { type Output, printList, printObjects, shownID } from "../output.ts";
import { formatAge } from "../units.ts";
import { logsCommand } from "./logs.ts";

/** Prints tasks as `docker service ps` does: newest first within a slot, older ones marked, each with its error. */
export async function printTasks(
  output: Output,
  client: ControlClient,
  tasks: TaskView[],
  options: { format?: string; quiet?: boolean; trunc?: boolean },
): Promise<void> {
  const [hosts, services] = await Promise.all([hostnames(client), client.get<ServiceView[]>("/services")]);
  const serviceName = new Map(services.map((service) => [service.ID, service.Spec.Name]));
  const name = (task: TaskView) =>
    `${serviceName.get(task.ServiceID) ?? task.ServiceID}.${task.Slot ?? task.NodeID}`;
  const sorted = tasks.toSorted((a, b) =>
    name(a).localeCompare(name(b), "en", { numeric: true }) || b.CreatedAt.localeCompare(a.CreatedAt)
  );
  const older = new Set(sorted.filter((task, i) => i > 0 && name(sorted[i - 1]!) === name(task)));
  printList(output, options, sorted, {
    header: ["ID", "NAME", "IMAGE", "NODE", "DESIRED STATE", "CURRENT STATE", "ERROR"],
    id: (task) => task.ID,
    row: (task) => [
      shownID(task.ID, options),
      (older.has(task) ? " \\_ " : "") + name(task),
      task.Spec.ContainerSpec?.Image ?? task.Spec.Runtime,
      placeOf(task, hosts),
      capital(task.DesiredState),
      `${capital(task.Status.State)} ${formatAge(task.Status.Timestamp, output.nowMs()).toLowerCase()}`,
      task.Status.Err ? `"${task.Status.Err}"` : "",
    ],
  });
}

/** The node's hostname; empty until the task has one. */
function placeOf({ NodeID = "" }: TaskView, hosts: Map<string, string>): string {
  return hosts.get(NodeID) ?? NodeID;
}

const capital = (word: string) => word[0]!.toUpperCase() + word.slice(1);

/** Adds the `task` commands. */
export function taskCommands(program: Command, context: Context): void {
  const task = program.command("task").description("Look at tasks");
  listFlags(task.command("ls").description("List tasks"), "tasks")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const tasks = await client.get<TaskView[]>("/tasks", { filters: parseFilters(options.filter) });
        await printTasks(context.output, client, tasks, options);
      })
    );
  logsCommand(task, context, "task");
  task.command("inspect").description("Show tasks in full").argument("<task...>")
    .option("--format <format>", '"json"')
    .action((references: string[], _options, command) =>
      withClient(context, command, async (client) => {
        const tasks = references.map((id) => client.get<TaskView>(`/tasks/${encodeURIComponent(id)}`));
        printObjects(context.output, await Promise.all(tasks));
      })
    );
}
