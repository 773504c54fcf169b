/** `covey stack …`: compose files as services of the cluster. */
import type { Command } from "commander";
import { stringify } from "yaml";
import { showable } from "../../api/characters.ts";
import { CoveyError } from "../../api/errors.ts";
import type { ServiceView, TaskView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import { STACK_LABEL } from "../compose/stack.ts";
import { collect, type Context, EXIT_CHANGES, forEachReference, listFlags, withClient } from "../context.ts";
import { EndedError } from "../ending.ts";
import { parseFilters } from "../lookup.ts";
import { printList } from "../output.ts";
import { waitConverged } from "../progress.ts";
import { applyChanges } from "../stack/apply.ts";
import { changesAnything, type NetworkView, type PayloadView, planStack } from "../stack/plan.ts";
import { type ComposeFlags, readPresent, readStack } from "../stack/read.ts";
import { planText } from "../stack/shown.ts";
import { printServices } from "./service.ts";
import { printTasks } from "./task.ts";

/** Adds the `stack` commands. */
export function stackCommands(program: Command, context: Context): void {
  const stack = program.command("stack").description("Deploy and manage stacks of compose files");
  deploy(stack, context);
  plan(stack, context);
  config(stack, context);
  list(stack, context);
  services(stack, context);
  tasks(stack, context);
  remove(stack, context);
}

function composeFlags(command: Command): Command {
  return command
    .option(
      "-c, --compose-file <file>",
      "compose file, - for standard input; later ones override",
      collect,
      [],
    )
    .option("--profile <profile>", "deploy the services of this profile too", collect, [])
    .option("--ignore-unsupported", "leave out what a swarm has no use for instead of refusing it");
}

function deploy(group: Command, context: Context) {
  composeFlags(group.command("deploy").description("Deploy a stack, or change it to what the files say"))
    .argument("<stack>").alias("up")
    .option("--prune", "remove services of the stack that the files have no more")
    .option("-d, --detach", "do not wait until the services have converged")
    .option("-q, --quiet", "no progress")
    .action((name: string, options, command) =>
      withClient(context, command, async (client) => {
        const wanted = await readStack(name, options as ComposeFlags, context);
        const changes = planStack(wanted, await readPresent(client, name), options.prune === true);
        const ids = await applyChanges(
          client,
          changes,
          (text) => context.output.write(`${showable(text)}\n`),
        );
        if (!changesAnything(changes)) context.output.write(`Nothing to change in ${name}\n`);
        if (!options.detach) await converge(client, context, ids, options.quiet === true);
      })
    );
}

/** Waits for each service; one that ends otherwise does not keep the others from being waited for. */
async function converge(
  client: ControlClient,
  context: Context,
  ids: string[],
  quiet: boolean,
): Promise<void> {
  const output = quiet ? { ...context.output, nowMs: context.output.nowMs, note() {} } : context.output;
  let ended: EndedError | undefined;
  for (const id of ids) {
    try {
      await waitConverged(client, output, id, context.signal, undefined);
    } catch (thrown) {
      if (!(thrown instanceof EndedError)) throw thrown;
      ended ??= thrown;
    }
  }
  if (ended) throw ended;
}

function plan(group: Command, context: Context) {
  composeFlags(
    group.command("plan").description("Show what a deployment would change; exit code 2 if it does"),
  )
    .argument("<stack>")
    .option("--prune", "as if with deploy --prune")
    .action((name: string, options, command) =>
      withClient(context, command, async (client) => {
        const wanted = await readStack(name, options as ComposeFlags, context);
        const changes = planStack(wanted, await readPresent(client, name), options.prune === true);
        context.output.write(planText(name, changes));
        if (changesAnything(changes)) context.exitCode = EXIT_CHANGES;
      })
    );
}

function config(group: Command, context: Context) {
  composeFlags(group.command("config").description("Show what the files come to, as the API gets it"))
    .argument("[stack]", "name of the stack", "stack")
    .action(async (name: string, options) => {
      const { stack } = await readStack(name, options as ComposeFlags, context);
      const shown = {
        services: stack.services.map(({ spec, secrets, configs }) => ({
          ...spec,
          ...(secrets.length > 0 && { Secrets: secrets }),
          ...(configs.length > 0 && { Configs: configs }),
        })),
        networks: stack.networks,
        secrets: stack.secrets,
        configs: stack.configs,
      };
      context.output.write(stringify(shown));
    });
}

function list(group: Command, context: Context) {
  group.command("ls").description("List stacks").option("--format <format>", '"json" or "table"')
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const all = await client.get<ServiceView[]>("/services", { filters: { label: [STACK_LABEL] } });
        const stacks = [...Map.groupBy(all, ({ Spec }) => Spec.Labels![STACK_LABEL]!)]
          .map(([Name, { length }]) => ({ Name, Services: length }))
          .sort((a, b) => a.Name.localeCompare(b.Name, "en", { numeric: true }));
        printList(context.output, options, stacks, {
          header: ["NAME", "SERVICES"],
          id: ({ Name }) => Name,
          row: ({ Name, Services }) => [Name, String(Services)],
        });
      })
    );
}

function ofStack(stack: string, filters: Record<string, string[]> = {}): Record<string, string[]> {
  return { ...filters, label: [...filters.label ?? [], `${STACK_LABEL}=${stack}`] };
}

function services(group: Command, context: Context) {
  listFlags(group.command("services").description("List the services of a stack"), "services").argument(
    "<stack>",
  )
    .action((name: string, options, command) =>
      withClient(context, command, async (client) => {
        const filters = ofStack(name, parseFilters(options.filter));
        const found = await client.get<ServiceView[]>("/services", { status: true, filters });
        if (found.length === 0) nothingFound(context, name);
        else printServices(context.output, found, options);
      })
    );
}

function tasks(group: Command, context: Context) {
  listFlags(group.command("ps").description("List the tasks of a stack"), "tasks").argument("<stack>")
    .action((name: string, options, command) =>
      withClient(context, command, async (client) => {
        const found = await client.get<ServiceView[]>("/services", { filters: ofStack(name) });
        if (found.length === 0) return nothingFound(context, name);
        const filters = { ...parseFilters(options.filter), service: found.map(({ ID }) => ID) };
        const all = await client.get<TaskView[]>("/tasks", { filters });
        await printTasks(context.output, client, all, options);
      })
    );
}

function nothingFound(context: Context, name: string): void {
  context.output.note(`Nothing found in stack: ${showable(name)}\n`);
}

function remove(group: Command, context: Context) {
  group.command("rm").description("Remove stacks").argument("<stack...>").alias("down")
    .action((names: string[], _options, command) =>
      withClient(
        context,
        command,
        (client) => forEachReference(names, (name) => removeStack(client, context, name)),
      )
    );
}

/** Services first: what they use is in use until then, and networks until their last task has ended. */
async function removeStack(client: ControlClient, context: Context, name: string): Promise<void> {
  const filters = ofStack(name);
  const [found, secrets, configs, networks] = await Promise.all([
    client.get<ServiceView[]>("/services", { filters }),
    client.get<PayloadView[]>("/secrets", { filters }),
    client.get<PayloadView[]>("/configs", { filters }),
    client.get<NetworkView[]>("/networks", { filters }),
  ]);
  const objects = [
    ...found.map(({ ID, Spec }) => ["service", ID, Spec.Name] as const),
    ...secrets.map(({ ID, Spec }) => ["secret", ID, Spec.Name] as const),
    ...configs.map(({ ID, Spec }) => ["config", ID, Spec.Name] as const),
    ...networks.map(({ Id, Name }) => ["network", Id, Name] as const),
  ];
  if (objects.length === 0) {
    throw new CoveyError("not_found", `Nothing found in stack: ${name}`, { cause: 404 });
  }
  for (const [kind, id, shown] of objects) {
    context.output.write(`Removing ${kind} ${showable(shown)}\n`);
    await client.delete(`/${kind}s/${id}`);
  }
}
