/** Where two specs differ, in words. Pure. */
import { deepEqual } from "../../api/deep_equal.ts";
import type { ServiceSpec } from "../../api/service.ts";

/** One field that differs; undefined where a side has none. */
export interface Difference {
  path: string;
  before: unknown;
  after: unknown;
}

/** Fields of which 0 says something else than nothing. */
const MEANINGFUL_ZERO = new Set([
  "Replicas",
  "Parallelism",
  "TotalCompletions",
  "MaxConcurrent",
  "OomScoreAdj",
]);

/** What the server and Docker's client write where a file says nothing. */
const DEFAULTS: Record<string, unknown> = {
  "TaskTemplate.ContainerSpec.Isolation": "default",
  "TaskTemplate.RestartPolicy.Condition": "any",
  "EndpointSpec.Mode": "vip",
  "UpdateConfig.FailureAction": "pause",
  "UpdateConfig.Order": "stop-first",
  "RollbackConfig.FailureAction": "pause",
  "RollbackConfig.Order": "stop-first",
};

/** `spec` without what says nothing: empty values, Docker's defaults, and the order of secrets and configs. */
export function normalized(spec: ServiceSpec): ServiceSpec {
  const found = (stripped(spec, "") ?? {}) as ServiceSpec;
  const { ContainerSpec, ProcessSpec } = found.TaskTemplate ?? {};
  for (const program of [ContainerSpec, ProcessSpec]) {
    program?.Secrets?.sort(byTarget);
    program?.Configs?.sort(byTarget);
  }
  return found;
}

/** Docker's client writes several references to one secret in any order. */
function byTarget(a: { File: { Name: string } }, b: { File: { Name: string } }): number {
  return a.File.Name < b.File.Name ? -1 : 1;
}

function stripped(value: unknown, path: string): unknown {
  const key = path.slice(path.lastIndexOf(".") + 1);
  if (value === null || value === undefined || value === "" || value === false) return undefined;
  if (value === 0 && !MEANINGFUL_ZERO.has(key)) return undefined;
  if (DEFAULTS[path] === value) return undefined;
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) {
    return value.length === 0 ? undefined : value.map((item) => stripped(item, path) ?? item);
  }
  const entries = Object.entries(value).map((
    [name, each],
  ) => [name, stripped(each, path === "" ? name : `${path}.${name}`)])
    .filter(([, each]) => each !== undefined);
  // The mode of a global service is an empty object.
  if (entries.length === 0 && !/^Mode\b/.test(path)) return undefined;
  return Object.fromEntries(entries);
}

/** Every field in which `before` and `after` differ, the deepest that says it. */
export function differences(before: unknown, after: unknown, path = ""): Difference[] {
  if (deepEqual(before, after)) return [];
  if (!isRecord(before) || !isRecord(after)) return [{ path, before, after }];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.flatMap((name) =>
    differences(before[name], after[name], path === "" ? name : `${path}.${name}`)
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
