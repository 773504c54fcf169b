/** `covey secret …` and `covey config …` */
import type { Command } from "commander";
import { type Config, DEPENDENCY_KINDS, type DependencyKind } from "../../api/dependency.ts";
import { collect, type Context, forEachReference, withClient } from "../context.ts";
import { MAX_PAYLOAD_BYTES, readAll } from "../files.ts";
import { parseFilters } from "../lookup.ts";
import { printList, printObjects, sortedByName } from "../output.ts";
import { parseLabels } from "../units.ts";

/** As shown: of a secret without what it holds. */
type PayloadView = Omit<Config, "Spec"> & {
  Spec: { Name: string; Labels: Record<string, string>; Data?: string };
};

/** Adds the `secret` and `config` commands. */
export function payloadCommands(program: Command, context: Context): void {
  for (const kind of DEPENDENCY_KINDS) {
    const command = program.command(kind).description(`Manage ${kind}s`);
    create(command, context, kind);
    list(command, context, kind);
    inspect(command, context, kind);
    remove(command, context, kind);
  }
}

function create(group: Command, context: Context, kind: DependencyKind) {
  group.command("create").description(`Create a ${kind} from a file`)
    .argument("<name>").argument("<file>", "file with what it holds, or - for standard input")
    .option("-l, --label <key=value>", `label of the ${kind}`, collect, [])
    .option("--template-driver <driver>", '"golang": fill in placeholders for each task')
    .action((Name: string, file: string, options, command) =>
      withClient(context, command, async (client) => {
        const Data = (await readAll(file, MAX_PAYLOAD_BYTES)).toBase64();
        const driver = options.templateDriver as string | undefined;
        const body = {
          Name,
          Labels: parseLabels(options.label),
          Data,
          ...(driver !== undefined && { Templating: { Name: driver } }),
        };
        const { ID } = await client.post<{ ID: string }>(`/${kind}s/create`, body);
        context.output.write(`${ID}\n`);
      })
    );
}

function list(group: Command, context: Context, kind: DependencyKind) {
  group.command("ls").description(`List ${kind}s`)
    .option("--format <format>", '"json" or "table"').option("-q, --quiet", "only IDs")
    .option("-f, --filter <key=value>", `only ${kind}s that match`, collect, [])
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const found = await client.get<PayloadView[]>(`/${kind}s`, { filters: parseFilters(options.filter) });
        printList(context.output, options, sortedByName(found, ({ Spec }) => Spec.Name), {
          header: ["ID", "NAME", "CREATED", "UPDATED"],
          id: ({ ID }) => ID,
          row: ({ ID, Spec, CreatedAt, UpdatedAt }) => [ID, Spec.Name, CreatedAt, UpdatedAt],
        });
      })
    );
}

function inspect(group: Command, context: Context, kind: DependencyKind) {
  group.command("inspect").description(`Show ${kind}s in full`).argument(`<${kind}...>`)
    .option("--format <format>", '"json"')
    .action((references: string[], _options, command) =>
      withClient(context, command, async (client) => {
        const found = references.map((each) =>
          client.get<PayloadView>(`/${kind}s/${encodeURIComponent(each)}`)
        );
        printObjects(context.output, await Promise.all(found));
      })
    );
}

function remove(group: Command, context: Context, kind: DependencyKind) {
  group.command("rm").description(`Remove ${kind}s`).argument(`<${kind}...>`)
    .action((references: string[], _options, command) =>
      withClient(context, command, (client) =>
        forEachReference(references, async (reference) => {
          await client.delete(`/${kind}s/${encodeURIComponent(reference)}`);
          context.output.write(`${reference}\n`);
        }))
    );
}
