/** `covey var …` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import type { NodeSpec } from "../../api/node.ts";
import {
  isVariableName,
  SITE_LABEL,
  VARIABLE_LABEL,
  type Variables,
  variableScope,
} from "../../api/variables.ts";
import type { NodeView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import { type Context, withClient } from "../context.ts";
import { getNode } from "../lookup.ts";
import { printList } from "../output.ts";
import { without } from "../service_spec.ts";
import { parseLabels } from "../units.ts";

/** Whose variables are meant: without either, the fleet's. */
interface ScopeFlags {
  site?: string;
  node?: string;
}

interface Change {
  Set: Record<string, string>;
  Remove: string[];
}

/** Adds the `var` commands. */
export function variableCommands(program: Command, context: Context): void {
  const group = program.command("var").description("Manage variables: values that differ by device");
  scopeFlags(group.command("set").description("Set variables, and update the services that use them"))
    .argument("<name=value...>")
    .action((pairs: string[], flags: ScopeFlags, command) =>
      withClient(
        context,
        command,
        (client) => change(context, client, flags, { Set: parseLabels(pairs), Remove: [] }),
      )
    );
  scopeFlags(group.command("rm").description("Remove variables"))
    .argument("<name...>")
    .action((Remove: string[], flags: ScopeFlags, command) =>
      withClient(context, command, (client) => change(context, client, flags, { Set: {}, Remove }))
    );
  list(group, context);
}

function scopeFlags(command: Command): Command {
  return command.option("--site <site>", `of the nodes whose label "${SITE_LABEL}" says so`)
    .option("--node <node>", 'of one node: ID, hostname or "self"');
}

async function change(context: Context, client: ControlClient, flags: ScopeFlags, wanted: Change) {
  const { site, node } = oneScope(flags);
  if (node !== undefined) return await changeNode(client, node, wanted);
  const body = { ...(site !== undefined && { Site: site }), ...wanted };
  const { Updated, Paused } = await client.post<{ Updated: string[]; Paused: string[] }>(
    "/variables/update",
    body,
  );
  for (const name of Updated) context.output.write(`${name} is being updated\n`);
  for (const name of Paused) context.output.write(`${name} has the new values once its update goes on\n`);
}

/** Refuses flags that name two scopes. */
function oneScope(flags: ScopeFlags): ScopeFlags {
  if (flags.site === undefined || flags.node === undefined) return flags;
  throw new CoveyError("invalid_argument", "Cannot use --site and --node together: variables have one scope");
}

/** A node's own variables are labels of it, as the stock client sets them too. */
async function changeNode(client: ControlClient, reference: string, { Set: set, Remove }: Change) {
  const strange = [...Object.keys(set), ...Remove].find((name) => !isVariableName(name));
  if (strange !== undefined) {
    const rule = "letters, digits and _, and no digit first";
    throw new CoveyError("invalid_argument", `Cannot use "${strange}" as the name of a variable: ${rule}`);
  }
  const { ID, Spec, Version } = await getNode(client, reference);
  const added = Object.entries(set).map(([name, value]) => [VARIABLE_LABEL + name, value]);
  const Labels = without(
    { ...Spec.Labels, ...Object.fromEntries(added) },
    Remove.map((name) => VARIABLE_LABEL + name),
  );
  const spec: NodeSpec = { ...Spec, Labels };
  await client.post(`/nodes/${ID}/update`, spec, { version: Version.Index });
}

interface Row {
  name: string;
  scope: string;
  value: string;
}

function list(group: Command, context: Context) {
  scopeFlags(group.command("ls").description("List variables; of a node, those that count there"))
    .option("--format <format>", '"json" or "table"').option("-q, --quiet", "only names")
    .action((options: ScopeFlags & { format?: string; quiet?: boolean }, command) =>
      withClient(context, command, async (client) => {
        const { site, node } = oneScope(options);
        const stored = await client.get<Variables[]>("/variables");
        const rows = node === undefined
          ? allRows(stored, site, site === undefined ? await client.get<NodeView[]>("/nodes") : [])
          : rowsOn(stored, await getNode(client, node));
        const order = (a: Row, b: Row) =>
          a.name < b.name ? -1 : a.name > b.name ? 1 : a.scope < b.scope ? -1 : 1;
        printList(context.output, options, rows.sort(order), {
          header: ["NAME", "SCOPE", "VALUE"],
          id: ({ name }) => name,
          row: ({ name, scope, value }) => [name, scope, value],
        });
      })
    );
}

function allRows(stored: Variables[], site: string | undefined, nodes: NodeView[]): Row[] {
  const wanted = site === undefined ? stored : stored.filter((each) => isScope(each, site));
  return [...wanted.flatMap(scopeRows), ...nodes.flatMap(ownRows)];
}

/** What counts on a node: what is nearer to it stands for what is farther. */
function rowsOn(stored: Variables[], node: NodeView): Row[] {
  const site = node.Spec.Labels[SITE_LABEL];
  const inOrder = [
    ...stored.filter((each) => isScope(each, undefined)).flatMap(scopeRows),
    ...(site ? stored.filter((each) => isScope(each, site)).flatMap(scopeRows) : []),
    ...ownRows(node),
  ];
  return [...new Map(inOrder.map((row) => [row.name, row])).values()];
}

function isScope({ Spec }: Variables, site: string | undefined): boolean {
  return Spec.Name.toLowerCase() === variableScope(site).toLowerCase();
}

function scopeRows({ Spec }: Variables): Row[] {
  return Object.entries(Spec.Values).map(([name, value]) => ({ name, scope: Spec.Name, value }));
}

function ownRows({ Spec, Description, ID }: NodeView): Row[] {
  return Object.entries(Spec.Labels).filter(([key]) => key.startsWith(VARIABLE_LABEL)).map((
    [key, value],
  ) => ({
    name: key.slice(VARIABLE_LABEL.length),
    scope: `node/${Description?.Hostname ?? ID}`,
    value,
  }));
}
