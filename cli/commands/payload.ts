/** `covey secret …` and `covey config …` */
import type { Command } from "commander";
import { type Config, DEPENDENCY_KINDS, type DependencyKind, type SealedFor } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import { collect, type Context, forEachReference, withClient } from "../context.ts";
import { MAX_PAYLOAD_BYTES, readAll } from "../files.ts";
import { firstSeals, sealForNodes, sendMore } from "../sealing.ts";
import { parseFilters } from "../lookup.ts";
import { printList, printObjects, sortedByName } from "../output.ts";
import { parseLabels } from "../units.ts";

/** As shown: of a secret without what it holds. */
type PayloadView = Omit<Config, "Spec"> & {
  Spec: { Name: string; Labels: Record<string, string>; Data?: string; Sealed?: SealedFor };
};

/** Adds the `secret` and `config` commands. */
export function payloadCommands(program: Command, context: Context): void {
  for (const kind of DEPENDENCY_KINDS) {
    const command = program.command(kind).description(`Manage ${kind}s`);
    create(command, context, kind);
    update(command, context, kind);
    if (kind === "secret") seal(command, context);
    list(command, context, kind);
    inspect(command, context, kind);
    remove(command, context, kind);
  }
}

function create(group: Command, context: Context, kind: DependencyKind) {
  const command = group.command("create").description(`Create a ${kind} from a file`)
    .argument("<name>").argument("<file>", "file with what it holds, or - for standard input")
    .option("-l, --label <key=value>", `label of the ${kind}`, collect, [])
    .option("--template-driver <driver>", '"golang": fill in placeholders for each task');
  if (kind === "secret") {
    const text = "only nodes with this label can read it, no manager can";
    command.option("--seal <key=value>", text, collect, []);
  }
  command.action((Name: string, file: string, options, command) =>
    withClient(context, command, async (client) => {
      const bytes = await readAll(file, MAX_PAYLOAD_BYTES);
      const driver = options.templateDriver as string | undefined;
      const base = {
        Name,
        Labels: parseLabels(options.label),
        ...(driver !== undefined && { Templating: { Name: driver } }),
      };
      const make = (content: object) =>
        client.post<{ ID: string }>(`/${kind}s/create`, { ...base, ...content });
      const sealedFor: string[] = options.seal ?? [];
      const sealing = sealedFor.length > 0 &&
        await sealForNodes(client, context, parseLabels(sealedFor), bytes);
      const { ID } = await make(sealing ? firstSeals(sealing) : { Data: bytes.toBase64() });
      if (sealing) await sendMore(client, ID, sealing);
      context.output.write(`${ID}\n`);
    })
  );
}

function seal(group: Command, context: Context) {
  group.command("seal").description("Seal a secret anew, for all nodes that have its labels by now")
    .argument("<secret>").argument("<file>", "file with the same bytes as before, or - for standard input")
    .action((reference: string, file: string, _options, command) =>
      withClient(context, command, async (client) => {
        const path = `/secrets/${encodeURIComponent(reference)}`;
        const { ID, Spec: { Sealed } } = await client.get<PayloadView>(path);
        if (Sealed === undefined) {
          const message =
            `Cannot seal secret ${reference}: managers have its bytes; make another one with --seal`;
          throw new CoveyError("failed_precondition", message, { cause: 400 });
        }
        const sealing = await sealForNodes(
          client,
          context,
          Sealed.Labels,
          await readAll(file, MAX_PAYLOAD_BYTES),
        );
        await client.post(`/secrets/${ID}/seals`, firstSeals(sealing));
        await sendMore(client, ID, sealing);
      })
    );
}

function update(group: Command, context: Context, kind: DependencyKind) {
  group.command("update").description(`Make a new version of a ${kind}, and update the services that use it`)
    .argument(`<${kind}>`).argument("<file>", "file with what it holds, or - for standard input")
    .action((reference: string, file: string, _options, command) =>
      withClient(context, command, async (client) => {
        const bytes = await readAll(file, MAX_PAYLOAD_BYTES),
          path = `/${kind}s/${encodeURIComponent(reference)}`;
        const { Spec: { Sealed } } = await client.get<PayloadView>(path);
        const sealing = Sealed && await sealForNodes(client, context, Sealed.Labels, bytes);
        type Outcome = Record<"Updated" | "Kept", string[]> & { ID: string };
        const { ID, Updated, Kept } = await client.post<Outcome>(
          `${path}/versions`,
          sealing ? firstSeals(sealing) : { Data: bytes.toBase64() },
        );
        if (sealing) await sendMore(client, ID, sealing);
        context.output.write(`${ID}\n`);
        for (const name of Updated) context.output.note(`${name} is being updated\n`);
        for (const name of Kept) {
          context.output.note(`job ${name} keeps what it has until it is updated itself\n`);
        }
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
