/** `covey node …` */
import type { Command } from "commander";
import type { NodeSpec } from "../../api/node.ts";
import type { NodeView, TaskView } from "../api_types.ts";
import { collect, type Context, forEachReference, listFlags, withClient } from "../context.ts";
import { getNode, parseFilters } from "../lookup.ts";
import { printList, printObjects, sortedByName } from "../output.ts";
import { without } from "../service_spec.ts";
import { parseChoice, parseLabels } from "../units.ts";
import { printTasks } from "./task.ts";

function managerStatus(node: NodeView): string {
  if (!node.ManagerStatus) return "";
  if (node.ManagerStatus.Leader) return "Leader";
  const { Reachability } = node.ManagerStatus;
  return Reachability[0]!.toUpperCase() + Reachability.slice(1);
}

const capital = (word: string) => word === "" ? "" : word[0]!.toUpperCase() + word.slice(1);

/** Adds the `node` commands. */
export function nodeCommands(program: Command, context: Context): void {
  const node = program.command("node").description("Manage the cluster's nodes");
  list(node, context);
  inspect(node, context);
  update(node, context);
  changeRole(node, context, "promote");
  changeRole(node, context, "demote");
  remove(node, context);
  tasks(node, context);
}

function list(node: Command, context: Context) {
  listFlags(node.command("ls").description("List nodes"), "nodes")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const [nodes, info] = await Promise.all([
          client.get<NodeView[]>("/nodes", { filters: parseFilters(options.filter) }),
          client.get<{ Swarm: { NodeID: string } }>("/info"),
        ]);
        printList(context.output, options, sortedByName(nodes, (n) => n.Description?.Hostname ?? ""), {
          header: [
            "ID",
            "HOSTNAME",
            "STATUS",
            "AVAILABILITY",
            "MANAGER STATUS",
            "ENGINE VERSION",
            "RUNTIMES",
          ],
          id: (n) => n.ID,
          row: (n) => [
            n.ID + (n.ID === info.Swarm.NodeID ? " *" : ""),
            n.Description?.Hostname ?? "",
            capital(n.Status.State),
            capital(n.Spec.Availability),
            managerStatus(n),
            n.Description?.Engine?.EngineVersion ?? "",
            (n.Description?.Runtimes ?? []).join(","),
          ],
        });
      })
    );
}

function inspect(node: Command, context: Context) {
  node.command("inspect").description("Show nodes in full").argument("<node...>", 'ID, hostname or "self"')
    .option("--format <format>", '"json"')
    .action((references: string[], _options, command) =>
      withClient(context, command, async (client) => {
        printObjects(
          context.output,
          await Promise.all(references.map((reference) => getNode(client, reference))),
        );
      })
    );
}

function update(node: Command, context: Context) {
  node.command("update").description("Change a node").argument("<node>")
    .option("--availability <availability>", '"active", "pause" or "drain"')
    .option("--role <role>", '"worker" or "manager"')
    .option("--label-add <key=value>", "add or change a label", collect, [])
    .option("--label-rm <key>", "remove a label", collect, [])
    .action((reference: string, options, command) =>
      withClient(context, command, async (client) => {
        const current = await getNode(client, reference);
        const spec: NodeSpec = {
          ...current.Spec,
          Labels: without({ ...current.Spec.Labels, ...parseLabels(options.labelAdd) }, options.labelRm),
        };
        if (options.availability) {
          spec.Availability = parseChoice("availability", options.availability, ["active", "pause", "drain"]);
        }
        if (options.role) {
          spec.Role = parseChoice("role", options.role, ["worker", "manager"]);
        }
        await client.post(`/nodes/${current.ID}/update`, spec, { version: current.Version.Index });
        context.output.write(`${reference}\n`);
      })
    );
}

const ROLE_CHANGES = {
  promote: {
    role: "manager",
    description: "Make nodes managers",
    done: (reference: string) => `Node ${reference} promoted to a manager in the swarm.`,
    already: (reference: string) => `Node ${reference} is already a manager.`,
  },
  demote: {
    role: "worker",
    description: "Make managers workers",
    done: (reference: string) => `Manager ${reference} demoted in the swarm.`,
    already: (reference: string) => `Node ${reference} is already a worker.`,
  },
} as const;

function changeRole(node: Command, context: Context, verb: keyof typeof ROLE_CHANGES) {
  const { role, description, done, already } = ROLE_CHANGES[verb];
  node.command(verb).description(description).argument("<node...>")
    .action((references: string[], _options, command) =>
      withClient(
        context,
        command,
        (client) =>
          forEachReference(references, async (reference) => {
            const { ID, Spec, Version } = await getNode(client, reference);
            if (Spec.Role !== role) {
              const spec: NodeSpec = { ...Spec, Role: role };
              await client.post(`/nodes/${ID}/update`, spec, { version: Version.Index });
            }
            context.output.write(`${Spec.Role === role ? already(reference) : done(reference)}\n`);
          }),
      )
    );
}

function remove(node: Command, context: Context) {
  node.command("rm").description("Remove nodes from the cluster").argument("<node...>")
    .option("-f, --force", "remove a node that is not down")
    .action((references: string[], options, command) =>
      withClient(
        context,
        command,
        (client) =>
          forEachReference(references, async (reference) => {
            await client.delete(`/nodes/${encodeURIComponent(reference)}`, {
              force: options.force ? "1" : undefined,
            });
            context.output.write(`${reference}\n`);
          }),
      )
    );
}

function tasks(node: Command, context: Context) {
  listFlags(
    node.command("ps").description("List the tasks of nodes").argument("[node...]", "default: self"),
    "tasks",
  )
    .action((references: string[], options, command) =>
      withClient(context, command, async (client) => {
        const ids = await Promise.all(
          (references.length > 0 ? references : ["self"]).map(async (r) => (await getNode(client, r)).ID),
        );
        const filters = { ...parseFilters(options.filter), node: ids };
        const found = await client.get<TaskView[]>("/tasks", { filters });
        await printTasks(context.output, client, found, options);
      })
    );
}
