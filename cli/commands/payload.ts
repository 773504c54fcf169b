/** `covey secret …` and `covey config …` */
import type { Command } from "commander";
import { type Config, DEPENDENCY_KINDS, type DependencyKind } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import { collect, type Context, forEachReference, withClient } from "../context.ts";
import { cannot } from "../files.ts";
import { parseFilters } from "../lookup.ts";
import { printList, printObjects, sortedByName } from "../output.ts";
import { parseLabels } from "../units.ts";

/** Bytes of the largest config that a cluster takes: what has no end is not read to it. */
const MAX_FILE_BYTES = 1000 * 1024;

/** As shown: of a secret without what it holds. */
type PayloadView = Omit<Config, "Spec"> & {
  Spec: { Name: string; Labels: Record<string, string>; Data?: string };
};

/** Adds the `secret` and `config` commands. */
export function payloadCommands(program: Command, context: Context): void {
  for (const kind of DEPENDENCY_KINDS) {
    const command = program.command(kind).description(`Manage ${kind}s`);
    create(command, context, kind);
    update(command, context, kind);
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
        const Data = (await readFile(file)).toBase64();
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

function update(group: Command, context: Context, kind: DependencyKind) {
  group.command("update").description(`Make a new version of a ${kind}, and update the services that use it`)
    .argument(`<${kind}>`).argument("<file>", "file with what it holds, or - for standard input")
    .action((reference: string, file: string, _options, command) =>
      withClient(context, command, async (client) => {
        const body = { Data: (await readFile(file)).toBase64() };
        const path = `/${kind}s/${encodeURIComponent(reference)}/versions`;
        const { ID, Updated, Kept } = await client.post<
          Record<"Updated" | "Kept", string[]> & { ID: string }
        >(
          path,
          body,
        );
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

/** All of a file, or of standard input. Throws for one that is larger than anything that a cluster takes. */
async function readFile(path: string): Promise<Uint8Array> {
  const what = path === "-" ? "standard input" : path;
  const bytes = new Uint8Array(MAX_FILE_BYTES + 1);
  let length = 0;
  const file = path === "-" ? Deno.stdin : await Deno.open(path).catch((thrown) => {
    throw cannot(`read ${what}`, thrown);
  });
  try {
    while (length < bytes.length) {
      const count = await file.read(bytes.subarray(length));
      if (count === null) return bytes.subarray(0, length);
      length += count;
    }
  } catch (thrown) {
    throw cannot(`read ${what}`, thrown);
  } finally {
    if (path !== "-") file.close();
  }
  throw new CoveyError("invalid_argument", `Cannot use ${what}: it has more than ${MAX_FILE_BYTES} bytes`);
}
