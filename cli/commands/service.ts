/** `covey service …` */
import { showable } from "../../api/characters.ts";
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import { isJob, modeOf, replicas, type ServiceSpec } from "../../api/service.ts";
import type { ServiceView, TaskView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import type { Ending } from "../ending.ts";
import { collect, type Context, forEachReference, listFlags, withClient } from "../context.ts";
import { cannot } from "../files.ts";
import { getService, parseFilters } from "../lookup.ts";
import { type Output, printList, printObjects, shownID, sortedByName } from "../output.ts";
import { waitConverged } from "../progress.ts";
import { addReferenceFlags, withReferences } from "../reference_flags.ts";
import { addServiceFlags, scaled } from "../service_flags.ts";
import { addDenoFlags } from "../deno_flags.ts";
import { specFromFlags, updatedSpec } from "../service_spec.ts";
import { parseCount } from "../units.ts";
import { logsCommand } from "./logs.ts";
import { showPlan } from "./plan.ts";
import { printRuns } from "./runs.ts";
import { printTasks } from "./task.ts";

/** Adds the `service` commands. */
export function serviceCommands(program: Command, context: Context): void {
  const service = program.command("service").description("Manage services");
  create(service, context);
  list(service, context);
  logsCommand(service, context, "service");
  tasks(service, context);
  inspect(service, context);
  scale(service, context);
  update(service, context);
  rollback(service, context);
  remove(service, context);
}

function create(service: Command, context: Context) {
  const command = service.command("create").description("Create a service")
    .argument(
      "<image|program|file>",
      "what to run: an image, with --executor process a program of the device, with deno a file",
    )
    .argument("[arg...]", "arguments, passed on as they stand")
    .option("--name <name>", "name of the service")
    .option(
      "--mode <mode>",
      '"replicated", "global" (one task per node), "replicated-job" or "global-job" (tasks that run to their end)',
      "replicated",
    )
    .option("--executor <executor>", 'what runs the tasks: "docker", "process" or "deno"', "docker")
    .option("-e, --env <name=value>", "environment variable", collect, [])
    .option("-l, --label <key=value>", "label of the service", collect, [])
    .option("--container-label <key=value>", "label of the containers", collect, [])
    .option("--constraint <expression>", "where tasks may run, such as node.labels.site==attic", collect, [])
    .option("--placement-pref <preference>", "spread=node.labels.NAME", collect, [])
    .option("-p, --publish <port>", "mode=host,published=8080,target=80", collect, [])
    .option("--network <network>", "network of the cluster to be in, by name or ID", collect, [])
    .option("--hostname <name>", "host name inside the containers")
    .option("-d, --detach", "do not wait until the service has converged")
    .option("-q, --quiet", "no progress");
  addReferenceFlags(addDenoFlags(addServiceFlags(command)), true).passThroughOptions();
  command.action((first: string, rest: string[], options) =>
    withClient(context, command, async (client) => {
      const content = options.executor === "deno" ? await readScript(first) : undefined;
      const spec = await withReferences(client, specFromFlags([first, ...rest], options, content), {
        secret: { add: options.secret, rm: [] },
        config: { add: options.config, rm: [] },
      });
      const { ID, Warnings } = await client.post<{ ID: string; Warnings?: string[] }>(
        "/services/create",
        spec,
      );
      for (const warning of Warnings ?? []) context.output.note(`${showable(warning)}\n`);
      context.output.write(`${ID}\n`);
      await converge(client, context, ID, options);
    })
  );
}

/** The file of a deno task. */
async function readScript(path: string): Promise<Uint8Array> {
  return await Deno.readFile(path).catch((thrown) => {
    throw cannot(`read ${path}`, thrown);
  });
}

async function converge(
  client: ControlClient,
  context: Context,
  id: string,
  options: { detach?: boolean; quiet?: boolean },
  asked?: Ending,
) {
  if (options.detach) return;
  const output = options.quiet
    ? { ...context.output, nowMs: context.output.nowMs, note() {} }
    : context.output;
  await waitConverged(client, output, id, context.signal, asked);
}

function list(service: Command, context: Context) {
  listFlags(service.command("ls").description("List services"), "services")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const services = await client.get<ServiceView[]>("/services", {
          status: true,
          filters: parseFilters(options.filter),
        });
        printServices(context.output, services, options);
      })
    );
}

/** Prints services as `docker service ls` does. */
export function printServices(
  output: Output,
  services: ServiceView[],
  options: { format?: string; quiet?: boolean; trunc?: boolean },
): void {
  printList(output, options, sortedByName(services, (s) => s.Spec.Name), {
    header: ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "UPDATE"],
    id: (s) => s.ID,
    row: (s) => [
      shownID(s.ID, options),
      s.Spec.Name,
      // As Docker writes it.
      modeOf(s.Spec).replace("-", " "),
      counts(s),
      s.Spec.TaskTemplate.ContainerSpec?.Image ?? s.Spec.TaskTemplate.Runtime,
      s.UpdateStatus?.State ?? "",
    ],
  });
}

/** Running and desired tasks as Docker writes them; of a job also those completed. */
function counts({ Spec, ServiceStatus }: ServiceView): string {
  const { RunningTasks = 0, DesiredTasks = replicas(Spec), CompletedTasks = 0 } = ServiceStatus ?? {};
  const running = `${RunningTasks}/${DesiredTasks}`;
  if (!isJob(Spec)) return running;
  const total = "ReplicatedJob" in Spec.Mode
    ? Spec.Mode.ReplicatedJob.TotalCompletions
    : DesiredTasks + CompletedTasks;
  return `${running} (${CompletedTasks}/${total} completed)`;
}

function tasks(service: Command, context: Context) {
  listFlags(service.command("ps").description("List the tasks of services").argument("<service...>"), "tasks")
    .action((references: string[], options, command) =>
      withClient(context, command, async (client) => {
        const ids = await Promise.all(
          references.map(async (reference) => (await getService(client, reference)).ID),
        );
        const filters = { ...parseFilters(options.filter), service: ids };
        const tasks = await client.get<TaskView[]>("/tasks", { filters });
        await printTasks(context.output, client, tasks, options);
        if (!options.quiet && options.format !== "json") await printRuns(context.output, client, tasks);
      })
    );
}

function inspect(service: Command, context: Context) {
  service.command("inspect").description("Show services in full").argument("<service...>")
    .option("--format <format>", '"json"')
    .action((references: string[], _options, command) =>
      withClient(context, command, async (client) => {
        printObjects(
          context.output,
          await Promise.all(references.map((reference) => getService(client, reference))),
        );
      })
    );
}

/** Writes a new spec with the version that it was read at, so that a change in between is refused, not lost. */
async function writeSpec(client: ControlClient, current: ServiceView, spec: ServiceSpec) {
  const answer = await client.post<{ Warnings?: string[] | null }>(`/services/${current.ID}/update`, spec, {
    version: current.Version.Index,
  });
  return answer?.Warnings ?? [];
}

function scale(service: Command, context: Context) {
  service.command("scale").description("Set the number of tasks of services").argument(
    "<service=replicas...>",
  )
    .option("-d, --detach", "do not wait until the services have converged")
    .action((pairs: string[], options, command) =>
      withClient(context, command, (client) =>
        forEachReference(pairs, async (pair) => {
          const [reference = "", count] = pair.split("=", 2);
          if (count === undefined) {
            throw new CoveyError("invalid_argument", `Cannot scale "${pair}": want SERVICE=REPLICAS`);
          }
          const current = await getService(client, reference);
          const mode = modeOf(current.Spec);
          if (mode === "global" || mode === "global-job") {
            throw new CoveyError(
              "failed_precondition",
              `Cannot scale ${reference}: it is ${mode}, one task per node`,
            );
          }
          const wanted = parseCount("replicas", count);
          await writeSpec(client, current, { ...current.Spec, Mode: scaled(current.Spec.Mode, wanted) });
          context.output.write(`${reference} scaled to ${wanted}\n`);
          await converge(client, context, current.ID, options);
        }))
    );
}

function update(service: Command, context: Context) {
  const command = service.command("update").description("Change a service").argument("<service>")
    .option("--image <image>", "image of the containers")
    .option("--file <file>", "script or WebAssembly module of deno tasks")
    .option("--args <args>", "arguments, split and quoted as in a shell")
    .option("--env-add <name=value>", "add or change an environment variable", collect, [])
    .option("--env-rm <name>", "remove an environment variable", collect, [])
    .option("--label-add <key=value>", "add or change a label", collect, [])
    .option("--label-rm <key>", "remove a label", collect, [])
    .option("--constraint-add <expression>", "add a constraint", collect, [])
    .option("--constraint-rm <expression>", "remove a constraint", collect, [])
    .option("--force", "replace every task although nothing changed")
    .option("--plan", "change nothing, show what would change; exit code 2 if something would")
    .option("-d, --detach", "do not wait until the service has converged")
    .option("-q, --quiet", "no progress");
  addReferenceFlags(addServiceFlags(command), false).action((reference: string, options) =>
    withClient(context, command, async (client) => {
      const current = await getService(client, reference);
      const content = options.file === undefined ? undefined : await readScript(options.file);
      const spec = await withReferences(client, updatedSpec(current.Spec, options, content), {
        secret: { add: options.secretAdd, rm: options.secretRm },
        config: { add: options.configAdd, rm: options.configRm },
      });
      if (options.plan) return await showPlan(client, context, spec);
      const warnings = await writeSpec(client, current, spec);
      for (const warning of warnings) context.output.note(`${showable(warning)}\n`);
      context.output.write(`${reference}\n`);
      await converge(client, context, current.ID, options);
    })
  );
}

function rollback(service: Command, context: Context) {
  service.command("rollback").description("Go back to what a service was before its last change")
    .argument("<service>")
    .option("-d, --detach", "do not wait until the service has converged")
    .option("-q, --quiet", "no progress")
    .action((reference: string, options, command) =>
      withClient(context, command, async (client) => {
        const { ID, Spec, Version } = await getService(client, reference);
        const query = { version: Version.Index, rollback: "previous" };
        await client.post(`/services/${ID}/update`, Spec, query);
        context.output.write(`${reference}\n`);
        await converge(client, context, ID, options, "rolled back");
      })
    );
}

function remove(service: Command, context: Context) {
  service.command("rm").description("Remove services").argument("<service...>")
    .action((references: string[], _options, command) =>
      withClient(
        context,
        command,
        (client) =>
          forEachReference(references, async (reference) => {
            await client.delete(`/services/${encodeURIComponent(reference)}`);
            context.output.write(`${reference}\n`);
          }),
      )
    );
}
