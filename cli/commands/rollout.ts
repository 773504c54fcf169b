/** `covey rollout …` */
import type { Command } from "commander";
import { showable } from "../../api/characters.ts";
import type { Rollout, RolloutStage } from "../../api/rollout.ts";
import type { UpdateStatus } from "../../api/service.ts";
import type { ControlClient } from "../client.ts";
import { type Context, withClient } from "../context.ts";
import { hostnames } from "../lookup.ts";
import { printObjects } from "../output.ts";
import { waitConverged } from "../progress.ts";

/** Devices of one kind that are shown by name before the rest is a number. */
const MAX_SHOWN = 20;

/** `GET /services/{id}/rollout` */
interface RolloutView extends Rollout {
  Service: { ID: string; Name: string };
  UpdateState: UpdateStatus["State"];
  Message: string;
  Stages: RolloutStage[];
  DeferredPlaces: { Place: string; Reason: string }[];
}

const ACTIONS = {
  promote: ["Go on to the next stage", "promoted"],
  pause: ["Hold a rollout, also for devices that come back", "paused"],
  resume: ["Go on with a rollout that is paused or timed out, in spite of its failures", "resumed"],
  abort: ["End a rollout for good; what has the new version keeps it", "aborted"],
  retry: ["Try the devices that failed once more", "retried"],
} as const;

/** Adds the `rollout` commands. */
export function rolloutCommands(program: Command, context: Context): void {
  const rollout = program.command("rollout").description(
    "Watch and control how updates go through the fleet",
  );
  status(rollout, context);
  rolloutActions(rollout, context, Object.keys(ACTIONS) as RolloutAction[]);
}

/** What can be done with a rollout. */
export type RolloutAction = keyof typeof ACTIONS;

/** Adds commands for `actions`, of the service that they are told or of `service`. */
export function rolloutActions(
  parent: Command,
  context: Context,
  actions: readonly RolloutAction[],
  service?: string,
): void {
  for (const action of actions) {
    const [description, done] = ACTIONS[action];
    const command = parent.command(action).description(description);
    if (service === undefined) command.argument("<service>");
    const waits = action === "promote" || action === "resume" || action === "retry";
    if (waits) command.option("-d, --detach", "do not wait until the rollout comes to rest");
    command.action(() =>
      withClient(context, command, async (client) => {
        const reference = service ?? command.args[0]!, { detach } = command.opts<{ detach?: boolean }>();
        await client.post(`/services/${encodeURIComponent(reference)}/rollout/${action}`, undefined);
        context.output.write(`${reference} ${done}\n`);
        if (!waits || detach) return;
        const { Service } = await getRollout(client, reference);
        await waitConverged(client, context.output, Service.ID, context.signal);
      })
    );
  }
}
/** How far the rollout of a service is. */
export function getRollout(client: ControlClient, reference: string): Promise<RolloutView> {
  return client.get<RolloutView>(`/services/${encodeURIComponent(reference)}/rollout`);
}

function status(rollout: Command, context: Context): void {
  const command = rollout.command("status").description("Show how far a rollout is").argument("<service>")
    .option("--format <format>", '"json"');
  command.action((reference: string, options: { format?: string }) =>
    withClient(context, command, async (client) => {
      const view = await getRollout(client, reference);
      if (options.format === "json") return printObjects(context.output, [view]);
      context.output.write(rolloutText(view, await hostnames(client)));
    })
  );
}

/** A rollout for people. `names` has host names by node ID. */
export function rolloutText(view: RolloutView, names: ReadonlyMap<string, string>): string {
  const { Total, Done, Failed, Deferred, Returned } = view;
  const name = (place: string) => names.get(place) ?? place;
  const lines = [
    `Service:   ${view.Service.Name}`,
    `State:     ${view.State.replaceAll("_", " ")} (${view.Message})`,
    ...view.Stages.map((stage, index) =>
      `${index === 0 ? "Stages:   " : "          "} ${stageText(view, stage, index)}`
    ),
    `Devices:   ${Done} of ${Total} done, ${Failed} failed, ${Deferred} deferred`,
    ...(Returned.Total > 0 ? [`Returned:  ${Returned.Total}, ${Returned.Failed} of them failed`] : []),
    ...listed(
      "Failed:",
      view.Failures.map(({ Place, Stage, Forgiven }) =>
        `${name(Place)} in stage ${Stage + 1}${Forgiven ? ", accepted" : ""}`
      ),
    ),
    ...listed("Deferred:", view.DeferredPlaces.map(({ Place, Reason }) => `${name(Place)}: ${Reason}`)),
  ];
  return lines.map((line) => `${showable(line)}\n`).join("");
}

function stageText({ Stage, State }: RolloutView, stage: RolloutStage, index: number): string {
  const what = stage.Percent === undefined ? stage.Constraint! : `${stage.Percent}%`;
  const where = index < Stage || State === "completed"
    ? "done"
    : index === Stage
    ? State.replaceAll("_", " ")
    : "to come";
  return `${index + 1}. ${what}: ${where}${stage.Promotion === "manual" ? ", promoted by hand" : ""}`;
}

function listed(title: string, entries: string[]): string[] {
  const shown = entries.slice(0, MAX_SHOWN);
  if (entries.length > shown.length) shown.push(`and ${entries.length - shown.length} more`);
  return shown.map((entry, index) => `${(index === 0 ? title : "").padEnd(10)} ${entry}`);
}
