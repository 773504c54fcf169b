/** What a spec would change, in words. Pure. */
import { showable } from "../api/characters.ts";
import type { RolloutStage } from "../api/rollout.ts";
import type { ServiceSpec } from "../api/service.ts";
import { type Difference, differences, normalized } from "./stack/difference.ts";
import { differenceLine } from "./stack/shown.ts";

type PlaceChange = "start" | "replace" | "reload" | "end";

/** `POST /services/plan` */
export interface ServicePlanView {
  Service: { ID?: string; Name: string };
  Before?: ServiceSpec;
  After: ServiceSpec;
  Counts: Record<PlaceChange | "keep", number>;
  Places: { Place: string; Change: PlaceChange; NodeID?: string; Hostname?: string; Waits?: string }[];
  Parallelism: number;
  Stages: readonly RolloutStage[];
  Ineligible: { Count: number; Nodes: { NodeID: string; Hostname: string; Reason: string }[] };
}

/** Places and devices that are named in a line or list; of more the first are. */
const MAX_SHOWN = 20;

const VERBS: [change: PlaceChange, one: string, many: string][] = [
  ["replace", "task is replaced", "tasks are replaced"],
  ["reload", "task is told, and goes on", "tasks are told, and go on"],
  ["start", "task is started", "tasks are started"],
  ["end", "task ends", "tasks end"],
];

/** True if submitting the spec would change something. */
export function planChanges(plan: ServicePlanView): boolean {
  const { replace, reload, start, end } = plan.Counts;
  return plan.Before === undefined || replace + reload + start + end > 0 || differencesOf(plan).length > 0;
}

/** The plan as it is shown: what differs, what becomes of which tasks, and which devices could run none. */
export function servicePlanText(plan: ServicePlanView): string {
  const { Service: { Name }, Before, Counts, Ineligible } = plan;
  const lines = planChanges(plan)
    ? [
      `${Before === undefined ? "+" : "~"} service ${Name}`,
      ...differencesOf(plan).map(differenceLine),
      ...VERBS.flatMap(([change, one, many]) => changeLines(plan, change, one, many)),
      countText(Counts.keep, "task goes on as it is", "tasks go on as they are"),
    ]
    : [`Nothing to change in ${Name}: ${countText(Counts.keep, "task is", "tasks are")} as the spec says`];
  if (Ineligible.Count > 0) {
    lines.push(`${countText(Ineligible.Count, "device", "devices")} cannot run it:`);
    lines.push(
      ...listed(Ineligible.Nodes, Ineligible.Count, ({ Hostname, Reason }) => `${Hostname} ${Reason}`),
    );
  }
  return lines.map((line) => `${showable(line)}\n`).join("");
}

function changeLines(plan: ServicePlanView, change: PlaceChange, one: string, many: string): string[] {
  const count = plan.Counts[change];
  if (count === 0) return [];
  const atOnce = plan.Parallelism === 0 ? "all at once" : `${plan.Parallelism} at a time`;
  const stages = plan.Stages.length > 1 ? `in ${plan.Stages.length} stages, ` : "";
  const pace = change === "replace" && count > 1 ? `, ${stages}${atOnce}` : "";
  const places = plan.Places.filter((place) => place.Change === change);
  return [
    `${countText(count, one, many)}${pace}:`,
    ...listed(places, count, ({ Place, NodeID, Hostname, Waits }) => {
      const slot = Place === NodeID ? undefined : `${plan.Service.Name}.${Place}`;
      const where = [slot, Hostname].filter((each) => each !== undefined).join(" on ");
      return Waits === undefined ? where : `${where}, later: ${Waits}`;
    }),
  ];
}

function listed<T>(items: readonly T[], count: number, text: (item: T) => string): string[] {
  const shown = items.slice(0, MAX_SHOWN).map((item) => `    ${text(item)}`);
  return count > shown.length ? [...shown, `    and ${count - shown.length} more`] : shown;
}

function countText(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Nothing for a service that would be created: all of its spec is new. */
function differencesOf({ Before, After }: ServicePlanView): Difference[] {
  return Before === undefined ? [] : differences(comparable(Before), comparable(After));
}

/** What is no container is shown with one, for clients that know nothing else. */
function comparable(spec: ServiceSpec): ServiceSpec {
  const { ContainerSpec, ...rest } = spec.TaskTemplate;
  const { ProcessSpec, DenoSpec } = rest;
  const isContainer = ProcessSpec === undefined && DenoSpec === undefined;
  return normalized({
    ...spec,
    TaskTemplate: isContainer && ContainerSpec ? { ...rest, ContainerSpec } : rest,
  });
}
