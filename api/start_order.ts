/**
 * What a service waits for on its device: other services there, as compose's `depends_on` says. A member of the task
 * template, or a label of the service for clients that do not know the member:
 *
 *     covey.depends-on: db=service_healthy, migrate=service_completed_successfully, cache
 *
 * A label wins over the member.
 */
import type { ServiceSpec } from "./service.ts";
import type { Task } from "./task.ts";

/** The label. */
export const DEPENDS_ON_LABEL = "covey.depends-on";
/** Services that one waits for: more than a device has of them. */
export const MAX_DEPENDS_ON = 64;

/** What a service may wait for; compose's words. */
export const CONDITIONS = ["service_started", "service_healthy", "service_completed_successfully"] as const;

/**
 * A service whose tasks on the same node come first.
 *
 * @example
 * ```ts
 * const first: ServiceDependency = { Service: "db", Condition: "service_healthy" };
 * ```
 */
export interface ServiceDependency {
  /** Its name, as `service ls` shows it. */
  Service: string;
  Condition: typeof CONDITIONS[number];
}

type Asking = { Labels?: Record<string, string> | undefined; DependsOn?: ServiceDependency[] | undefined };

/** What is waited for, and what is wrong with the label. */
function read({ Labels, DependsOn }: Asking): { all: readonly ServiceDependency[]; problems: string[] } {
  const text = Labels?.[DEPENDS_ON_LABEL];
  if (text === undefined) return { all: DependsOn ?? [], problems: [] };
  const problems: string[] = [];
  const all = text.split(",").flatMap((each): ServiceDependency[] => {
    const [, Service, word = CONDITIONS[0]] = /^\s*([^=\s]+?)\s*(?:=\s*(\S+)\s*)?$/.exec(each) ?? [];
    const Condition = CONDITIONS.find((known) => known === word);
    if (Service !== undefined && Condition !== undefined) return [{ Service, Condition }];
    problems.push(`cannot be read: want NAME=${CONDITIONS.join("|")}, not "${each.trim()}"`);
    return [];
  });
  return { all, problems };
}

const NONE: readonly ServiceDependency[] = [];

/** What the services of `spec` wait for. */
export function dependsOn(spec: Pick<ServiceSpec, "Labels" | "TaskTemplate">): readonly ServiceDependency[] {
  return read({ Labels: spec.Labels, DependsOn: spec.TaskTemplate.DependsOn }).all;
}

/** What `task` waits for before its program starts. */
export function taskDependsOn(
  { Spec, ServiceAnnotations: { Labels } }: Pick<Task, "Spec" | "ServiceAnnotations">,
): readonly ServiceDependency[] {
  const hasLabel = Labels !== undefined && Object.hasOwn(Labels, DEPENDS_ON_LABEL);
  return hasLabel || Spec.DependsOn ? read({ Labels, DependsOn: Spec.DependsOn }).all : NONE;
}

/** What is wrong with the label of `spec`; empty where nothing is. */
export function dependsOnLabelProblems(spec: Pick<ServiceSpec, "Labels">): string[] {
  return read({ Labels: spec.Labels }).problems;
}

/** The field in which `spec` says what it waits for. */
export function dependsOnField(spec: Pick<ServiceSpec, "Labels">): string {
  return Object.hasOwn(spec.Labels, DEPENDS_ON_LABEL)
    ? `Labels.${DEPENDS_ON_LABEL}`
    : "TaskTemplate.DependsOn";
}

/** One name for a service, however it is written: names differ by more than their case. */
export function foldedName(name: string): string {
  return name.toLowerCase();
}
