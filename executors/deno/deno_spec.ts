/** From a task to the Deno that the shim is asked to run, and the script that it reads. Pure. */
import { pathToFileURL } from "node:url";
import { DENO_PERMISSIONS, type DenoSpec } from "../../api/deno_spec.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import { denoProblems } from "../../api/validate/deno_problems.ts";
import { programProblems } from "../../api/validate/program.ts";
import { isTaskID, requestFor, type ShimRequest } from "../process/process_spec.ts";

/** The share of a task's memory that its heap may have: the rest is Deno's own, and what lies outside of the heap. */
const HEAP_SHARE = 0.75;
/** Less does not start. */
const MIN_HEAP_MIB = 8;

/** What runs before a task's module. */
export interface Loaders {
  script: string;
  wasm: string;
}

/**
 * What the shim is asked to run for `task`; `deno` is the absolute path of Deno, `files` are the paths of the task's artifacts by
 * their names.
 *
 * @throws {CoveyError} `invalid_argument` with every problem of the spec.
 */
export function denoRequest(
  task: Task,
  path: string,
  deno: string,
  loaders: Loaders,
  files: ReadonlyMap<string, string> = new Map(),
): ShimRequest {
  const problems = problemsOf(task, deno);
  if (problems.length > 0) throw CoveyError.invalid("run task with Deno", problems);
  const given = task.Spec.DenoSpec!, module = files.get(given.Module ?? "");
  const spec = module === undefined ? given : { ...given, Module: module };
  return {
    ...requestFor(task, spec, [deno, ...spec.Args ?? []], path),
    grants: grantsOf(spec, task.Spec.Resources?.Limits?.MemoryBytes),
    script: scriptOf(spec, loaders),
  };
}

function problemsOf(task: Task, deno: string): FieldProblem[] {
  const id = isTaskID(task.ID) ? [] : [{ field: "ID", message: `not a task ID: ${task.ID}` }];
  const spec = task.Spec.DenoSpec;
  if (!spec) return [...id, { field: "DenoSpec", message: "missing" }];
  const grants = grantsOf(spec, undefined);
  return [...id, ...denoProblems("DenoSpec", spec), ...programProblems("DenoSpec", spec, [deno, grants])];
}

/** Lines as `shim_deno.sh` reads them. */
function grantsOf({ Module, Permissions = {} }: DenoSpec, memoryBytes: number | undefined): string {
  const lines = DENO_PERMISSIONS.flatMap((kind) => {
    const named = Permissions[kind];
    return (named === true ? ["*"] : named ?? []).map((value) => `${kind} ${value}`);
  });
  if (Module) lines.unshift(`Module ${Module}`);
  // Never empty, by which the shim knows a deno task.
  const heap = memoryBytes ? heapMiB(memoryBytes) : 0;
  return [`Heap ${heap}`, ...lines].join("\n");
}

function heapMiB(memoryBytes: number): number {
  return Math.max(MIN_HEAP_MIB, Math.floor(memoryBytes * HEAP_SHARE / 2 ** 20));
}

function scriptOf({ Source, Wasm, Module }: DenoSpec, loaders: Loaders): string {
  const url = Module && pathToFileURL(Module).href;
  const name = Module?.split("/").at(-1) ?? "module.wasm";
  const isWasm = Wasm !== undefined || Module?.endsWith(".wasm");
  const given = isWasm ? { wasm: Wasm, url, name } : { source: Source, url };
  return `const given = ${JSON.stringify(given)};\n${isWasm ? loaders.wasm : loaders.script}`;
}
