/** `covey explain …` */
import type { Command } from "commander";
import { showable } from "../../api/characters.ts";
import type { ControlClient } from "../client.ts";
import { type Context, withClient } from "../context.ts";
import { hostnames } from "../lookup.ts";
import { printObjects, table } from "../output.ts";

/** Places, and nodes, that are shown before the rest is a number. */
const MAX_SHOWN = 100;

/** `GET /services/{id}/explain`, and the same for tasks and nodes. */
interface Explanation {
  Name: string;
  Summary: string;
  Counts: Record<string, number>;
  Places: {
    Service: { Name: string };
    Place: string;
    NodeID?: string;
    Standing: string;
    Reason: string;
  }[];
  Refusals: { NodeID: string; Reason: string }[];
}

const KINDS = {
  service: "Say of each device or slot why it is not running, or not on the new version",
  task: "Say why a task is not running",
  node: "Say why services are not running on a node",
} as const;

/** Adds the `explain` commands. */
export function explainCommands(program: Command, context: Context): void {
  const explain = program.command("explain").description("Say why something is not running");
  for (const [kind, description] of Object.entries(KINDS)) {
    const command = explain.command(kind).description(description).argument(`<${kind}>`)
      .option("--format <format>", '"json"');
    if (kind === "service") command.option("--node <node>", "only what is on this node, or should be");
    command.action((reference: string, options: { format?: string; node?: string }) =>
      withClient(context, command, async (client) => {
        const path = `/${kind}s/${encodeURIComponent(reference)}/explain`;
        const explanation = await client.get<Explanation>(path);
        if (options.format === "json") return printObjects(context.output, [explanation]);
        const names = await hostnames(client);
        const shown = options.node === undefined
          ? explanation
          : await onlyOn(client, explanation, options.node);
        context.output.write(explanationText(shown, kind === "node", names));
      })
    );
  }
}

async function onlyOn(client: ControlClient, explanation: Explanation, node: string): Promise<Explanation> {
  const { ID } = await client.get<{ ID: string }>(`/nodes/${encodeURIComponent(node)}`);
  const Places = explanation.Places.filter(({ NodeID }) => NodeID === ID);
  const Refusals = explanation.Refusals.filter(({ NodeID }) => NodeID === ID);
  return { ...explanation, Places, Refusals };
}

/** An explanation for people. `names` has host names by node ID. */
function explanationText(
  { Name, Summary, Counts, Places, Refusals }: Explanation,
  ofNode: boolean,
  names: ReadonlyMap<string, string>,
): string {
  const name = (id: string) => names.get(id) ?? id;
  const counts = Object.entries(Counts).map(([standing, count]) => `${count} ${standing}`).join(", ");
  let text = showable(`${Name}: ${Summary}${counts === "" ? "" : ` (${counts})`}`) + "\n";
  if (Places.length > 0) {
    const shown = Places.slice(0, MAX_SHOWN);
    text += ofNode
      ? table(["SERVICE", "STANDING", "WHY"], shown.map((at) => [at.Service.Name, at.Standing, at.Reason]))
      : table(
        ["PLACE", "NODE", "STANDING", "WHY"],
        shown.map((at) => [name(at.Place), name(at.NodeID ?? ""), at.Standing, at.Reason]),
      );
    text += more(Places.length);
  }
  if (Refusals.length > 0) {
    const rows = Refusals.slice(0, MAX_SHOWN).map(({ NodeID, Reason }) => [name(NodeID), Reason]);
    text += table(["NODE", "WHY IT TAKES NONE"], rows) + more(Refusals.length);
  }
  return text;
}

function more(count: number): string {
  return count > MAX_SHOWN ? `and ${count - MAX_SHOWN} more (--format json lists them)\n` : "";
}
