/** Whether a running program can be told of what changed, in place of being replaced. Pure. */
import { deepEqual } from "./deep_equal.ts";
import { dependenciesOf, DEPENDENCY_KINDS, withDependency } from "./dependency.ts";
import type { TaskSpec } from "./service.ts";

/**
 * The signals that bring a task of the spec `present` to the spec `wanted`, if new versions of secrets and configs whose
 * references name one are all that differs; undefined if it has to be replaced.
 */
export function reloadSignals(present: TaskSpec, wanted: TaskSpec): string[] | undefined {
  const before = dependenciesOf(present), after = dependenciesOf(wanted);
  if (before.length !== after.length || before.length === 0) return undefined;
  const signals = new Set<string>();
  for (const [index, { ID, Env, Signal }] of after.entries()) {
    if (before[index]!.ID === ID) continue;
    // A program's variables are those that it began with.
    if (Signal === undefined || Env !== undefined) return undefined;
    signals.add(Signal);
  }
  if (signals.size === 0 || !deepEqual(withoutVersions(present), withoutVersions(wanted))) return undefined;
  return [...signals];
}

/** All references made to lead to the same, so that what they lead to makes no difference. */
function withoutVersions(spec: TaskSpec): TaskSpec {
  const all = new Set(dependenciesOf(spec).map(({ ID }) => ID)), nothing = { ID: "", Name: "" };
  return DEPENDENCY_KINDS.reduce((next, kind) => withDependency(next, kind, all, nothing), spec);
}
