/** Which variables tasks use, and what those are worth on a node. Pure. */
import { dependenciesOf, type PayloadSpec } from "../../api/dependency.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import type { Node } from "../../api/node.ts";
import type { TaskSpec } from "../../api/service.ts";
import { compareStates } from "../../api/task_state.ts";
import { variablesOf } from "../../api/task_template.ts";
import type { Task } from "../../api/task.ts";
import { namesIn } from "../../api/template.ts";
import { SITE_LABEL, VARIABLE_LABEL, variableLabels, variableScope } from "../../api/variables.ts";
import { type ReadView, TABLE_OF } from "../store/mod.ts";

/** Names and values, or the first name that has no value; neither for a task that uses none. */
export interface NodeVariables {
  values?: Record<string, string>;
  missing?: string;
}

type Names = ReturnType<typeof namesIn>;

const NONE: Names = { variables: [], functions: [] };
const ofPayload = new WeakMap<PayloadSpec, Names>();

/** The variables that tasks of `spec` use: in the spec itself, and in the texts of its secrets and configs. */
export function variableNames(view: Pick<ReadView, "get">, spec: TaskSpec): readonly string[] {
  const names = variablesOf(spec), { Secrets, Configs } = spec.ContainerSpec ?? spec.ProcessSpec ?? {};
  if (Secrets === undefined && Configs === undefined) return names;
  let all: Set<string> | undefined;
  for (const { Kind, ID } of dependenciesOf(spec)) {
    const payload = view.get(TABLE_OF[Kind], ID);
    if (payload === undefined) continue;
    for (const name of namesInPayload(payload.Spec).variables) (all ??= new Set(names)).add(name);
  }
  return all ? [...all] : names;
}

/** What the template of a secret or config names; nothing for one that is none. */
export function namesInPayload(spec: PayloadSpec): Names {
  if (spec.Templating === undefined) return NONE;
  let names = ofPayload.get(spec);
  if (names === undefined) ofPayload.set(spec, names = readNames(spec));
  return names;
}

/** What is no template fails on the node, which says why. */
function readNames({ Data }: PayloadSpec): Names {
  try {
    return namesIn(new TextDecoder().decode(Uint8Array.fromBase64(Data)));
  } catch {
    return NONE;
  }
}

/** A task without any is met for each node and each task: nothing is made anew for it. */
const NO_VARIABLES: NodeVariables = {};

/** What a variable is worth on `node`: its own label, then the site's value, then the fleet's. */
function variableOn(view: Pick<ReadView, "find">, node: Node, name: string): string | undefined {
  const { Labels } = node.Spec, own = VARIABLE_LABEL + name;
  if (Object.hasOwn(Labels, own)) return Labels[own];
  const site = Object.hasOwn(Labels, SITE_LABEL) ? Labels[SITE_LABEL]! : "";
  const ofSite = site === "" ? undefined : inScope(view, variableScope(site), name);
  return ofSite ?? inScope(view, variableScope(), name);
}

function inScope(view: Pick<ReadView, "find">, scope: string, name: string): string | undefined {
  const values = view.find("variables", "name", scope)[0]?.Spec.Values;
  return values !== undefined && Object.hasOwn(values, name) ? values[name] : undefined;
}

/** What `task` gets on `node`. One that is to be again what was there before keeps what that had. */
export function variablesFor(
  view: Pick<ReadView, "get" | "find">,
  task: Pick<Task, "Spec" | "Variables">,
  node: Node,
): NodeVariables {
  const names = variableNames(view, task.Spec);
  if (names.length === 0) return NO_VARIABLES;
  const values: Record<string, string> = {};
  for (const name of names) {
    const known = task.Variables !== undefined && Object.hasOwn(task.Variables, name);
    const value = known ? task.Variables![name] : variableOn(view, node, name);
    if (value === undefined) return { missing: name };
    values[name] = value;
  }
  return { values };
}

/** True if a task of `spec` would get another value on the node of `task`. One that is gone stops nothing that has it. */
export function hasOtherVariables(view: ReadView, spec: TaskSpec, task: Task): boolean {
  const names = variableNames(view, spec);
  if (names.length === 0 || compareStates(task.Status.State, "assigned") < 0) return false;
  const node = view.get("nodes", task.NodeID);
  if (node === undefined) return false;
  const { Variables = {} } = task;
  return names.some((name) => {
    const value = variableOn(view, node, name);
    return value !== undefined && value !== (Object.hasOwn(Variables, name) ? Variables[name] : undefined);
  });
}

/** True if a node's variables may have changed by its labels. */
export function hasOtherLabels(before: Node, now: Node): boolean {
  return before.Spec.Labels !== now.Spec.Labels &&
    !deepEqual(variableLabels(before.Spec.Labels), variableLabels(now.Spec.Labels));
}
