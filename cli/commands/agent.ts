/** `covey agent …` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import {
  type Bundle,
  deviceRows,
  parseBundle,
  UPGRADE_SERVICE,
  type UpgradeOptions,
  upgradeSpec,
  waitingSpec,
  wantedVersion,
} from "../agent_upgrade.ts";
import type { NodeView, ServiceView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import { collect, type Context, withClient } from "../context.ts";
import { getService, hostnames, tasksOfService } from "../lookup.ts";
import { printObjects, table } from "../output.ts";
import { waitConverged } from "../progress.ts";
import { parseCount } from "../units.ts";
import { getRollout, rolloutActions, rolloutText } from "./rollout.ts";

interface UpgradeFlags {
  bundle: string[];
  deadline: string;
  parallelism: string;
  stages: string;
  failureThreshold?: string;
  budgets?: string;
  promotion?: string;
  constraint: string[];
  detach?: boolean;
}

/** Adds the `agent` commands. */
export function agentCommands(program: Command, context: Context): void {
  const upgrade = program.command("agent").description("Manage the program of the devices")
    .command("upgrade").description("Bring another version to the devices, stage by stage")
    .option(
      "--bundle <url>",
      "…/covey-VERSION-ARCH.tar.gz[#sha256=SUM]; one for each architecture",
      collect,
      [],
    )
    .option("--stages <stages>", "such as 1%, node.labels.ring==early, 100%", "10%, 100%")
    .option("--failure-threshold <ratio>", "share of a stage's devices that may fail (default 0)")
    .option("--budgets <budgets>", "such as node.labels.site=1")
    .option("--promotion <how>", '"automatic", or "manual" to say when a stage is good')
    .option("--parallelism <n>", "devices at once (0 = all of a stage)", "0")
    .option("--deadline <seconds>", "in which a device has to reach a manager, or goes back", "300")
    .option("--constraint <expression>", "which devices, such as node.labels.site==attic", collect, [])
    .option("-d, --detach", "do not wait until the rollout comes to rest");
  upgrade.action((flags: UpgradeFlags) =>
    withClient(context, upgrade, async (client) => {
      if (flags.bundle.length === 0) {
        throw new CoveyError(
          "invalid_argument",
          "Cannot upgrade: --bundle is missing; --help lists the flags",
        );
      }
      const bundles: Bundle[] = [];
      for (const text of flags.bundle) bundles.push(await readBundle(text, context.signal));
      await upgradeFleet(client, context, bundles, optionsOf(flags), flags.detach === true);
    })
  );
  status(upgrade, context);
  rolloutActions(upgrade, context, ["promote", "pause", "resume", "abort"], UPGRADE_SERVICE);
}

function optionsOf(flags: UpgradeFlags): UpgradeOptions {
  const deadline = parseCount("deadline", flags.deadline);
  if (deadline === 0) {
    throw new CoveyError(
      "invalid_argument",
      "Cannot read --deadline: a device needs some time, current value is 0",
    );
  }
  return {
    deadline,
    parallelism: parseCount("parallelism", flags.parallelism),
    stages: flags.stages,
    failureThreshold: flags.failureThreshold,
    budgets: flags.budgets,
    promotion: flags.promotion,
    constraints: flags.constraint,
  };
}

/** The sum of a bundle that does not say its own is that of what is at its address now. */
async function readBundle(text: string, signal: AbortSignal): Promise<Bundle> {
  const { sha256, ...bundle } = parseBundle(text);
  if (sha256 !== undefined) return { ...bundle, sha256 };
  const { createHash } = await import("node:crypto");
  const hash = createHash("sha256");
  const response = await fetch(bundle.url, { signal });
  if (!response.ok) {
    await response.body?.cancel();
    throw new CoveyError(
      "failed_precondition",
      `Cannot read ${bundle.url}: the server answers ${response.status}`,
    );
  }
  for await (const chunk of response.body!) hash.update(chunk);
  return { ...bundle, sha256: hash.digest("hex") };
}

async function upgradeFleet(
  client: ControlClient,
  context: Context,
  bundles: readonly Bundle[],
  options: UpgradeOptions,
  detach: boolean,
): Promise<void> {
  const current = await upgradeService(client) ?? await createWaiting(client, context, options);
  const spec = upgradeSpec(bundles, options, new Date().toISOString());
  await client.post(`/services/${current.ID}/update`, spec, { version: current.Version.Index });
  context.output.write(
    `${UPGRADE_SERVICE}: version ${wantedVersion(spec.TaskTemplate)} goes to the devices\n`,
  );
  if (!detach) await waitConverged(client, context.output, current.ID, context.signal);
}

async function createWaiting(
  client: ControlClient,
  context: Context,
  options: UpgradeOptions,
): Promise<ServiceView> {
  const { ID } = await client.post<{ ID: string }>("/services/create", waitingSpec(options));
  await waitConverged(
    client,
    { ...context.output, nowMs: context.output.nowMs, note() {} },
    ID,
    context.signal,
  );
  return await getService(client, ID);
}

async function upgradeService(client: ControlClient): Promise<ServiceView | undefined> {
  try {
    return await getService(client, UPGRADE_SERVICE);
  } catch (thrown) {
    if (CoveyError.from(thrown).code === "not_found") return undefined;
    throw thrown;
  }
}

function status(upgrade: Command, context: Context): void {
  const command = upgrade.command("status").description(
    "Show which device has which version, and why not another",
  )
    .option("--format <format>", '"json"');
  command.action(({ format }: { format?: string }) =>
    withClient(context, command, async (client) => {
      const service = await getService(client, UPGRADE_SERVICE);
      const [nodes, tasks] = await Promise.all([
        client.get<NodeView[]>("/nodes"),
        tasksOfService(client, service.ID),
      ]);
      const rows = deviceRows(nodes, tasks);
      if (format === "json") return printObjects(context.output, rows);
      if (service.UpdateStatus?.Rollout) {
        context.output.write(
          `${rolloutText(await getRollout(client, service.ID), await hostnames(client))}\n`,
        );
      }
      const header = ["NODE", "VERSION", "WANTED", "STATE", "ERROR"];
      context.output.write(table(header, rows.map((row) => [...Object.values(row)])));
    })
  );
}
