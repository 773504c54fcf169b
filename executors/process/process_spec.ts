/** From a task to what the shim is asked to run. */
import { dependenciesOf } from "../../api/dependency.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { stopGraceMs } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { artifactProblems } from "../../api/validate/artifact_problems.ts";
import { commandProblem } from "../../api/validate/process_command.ts";
import { deviceProblems } from "../../api/validate/device_problems.ts";
import { programProblems, type ProgramSpec, signalName, textProblem } from "../../api/validate/program.ts";

/** How the shim starts a program; numbers in decimal. */
export interface ShimOptions {
  /** The program's own PATH. */
  path: string;
  /** USER or USER:GROUP, names or numbers. */
  user?: string;
  dir?: string;
  /** It has a folder with secrets and configs. */
  kept?: "yes";
  /** Bytes. */
  memory?: string;
  nano_cpus?: string;
  pids?: string;
  /** What of the device's file systems it does not have: `root`, `tmp` or `root tmp`. */
  closed?: string;
  /** Devices that it gets at, a line each. */
  devices?: string;
  /** The node's ID, for a program in the cluster's networks. */
  node?: string;
}

/** A program as the shim takes it. */
export interface ShimRequest {
  id: string;
  command: string[];
  options: ShimOptions;
  /** The program's variables, `NAME=value`. */
  env: string[];
  /** What the shim has to let in, for a deno task: lines as `shim_deno.sh` reads them. */
  grants?: string;
  /** What the program gets as its standard input. */
  script?: string;
}

/** How a program is stopped. */
export interface StopPolicy {
  /** Without `SIG`: `TERM`. */
  signal: string;
  graceMs: number;
}

/** How `task` wants to be stopped; its spec must have passed {@linkcode shimRequest}. */
export function stopPolicy(task: Task): StopPolicy {
  const { ProcessSpec, DenoSpec } = task.Spec;
  const { StopSignal } = (ProcessSpec ?? DenoSpec)!;
  return { signal: signalName(StopSignal || "SIGTERM")!, graceMs: stopGraceMs(task.Spec) };
}

/** True for what can be the name of a task's files. */
export function isTaskID(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(text);
}

function problemsOf(task: Task): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const bad = (field: string, message: string) => problems.push({ field, message });
  if (!isTaskID(task.ID)) bad("ID", `not a task ID: ${task.ID}`);
  const spec = task.Spec.ProcessSpec;
  if (!spec) return [...problems, { field: "ProcessSpec", message: "missing" }];
  if (!spec.Command) bad("ProcessSpec.Command", "missing");
  problems.push(...artifactProblems("ProcessSpec.Artifacts", spec.Artifacts ?? []));
  problems.push(...deviceProblems("ProcessSpec.Devices", spec.Devices ?? []));
  const wrong = commandProblem(spec.Command ?? "") ?? textProblem(spec.Command ?? "");
  if (wrong) bad("ProcessSpec.Command", wrong);
  return [...problems, ...programProblems("ProcessSpec", spec, [spec.Command])];
}

/**
 * What the shim is asked to run for `task`. `path` is the node's PATH; `files` are the paths of its artifacts by their names.
 *
 * @throws {CoveyError} `invalid_argument` with every problem of the spec.
 */
export function shimRequest(
  task: Task,
  path: string,
  files: ReadonlyMap<string, string> = new Map(),
): ShimRequest {
  const problems = problemsOf(task);
  if (problems.length > 0) throw CoveyError.invalid("run task as a process", problems);
  const spec = task.Spec.ProcessSpec!;
  // The program is looked up in its own PATH, as a shell would.
  const own = spec.Env?.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length);
  const request = requestFor(
    task,
    spec,
    [files.get(spec.Command) ?? spec.Command, ...spec.Args ?? []],
    own ?? path,
  );
  const closed = [...spec.ReadOnly ? ["root"] : [], ...spec.PrivateTmp ? ["tmp"] : []].join(" ");
  if (closed) request.options.closed = closed;
  if (spec.Devices?.length) request.options.devices = spec.Devices.join("\n");
  return request;
}

/** The request to run `command` for `task`, of which `spec` is right. */
export function requestFor(task: Task, spec: ProgramSpec, command: string[], path: string): ShimRequest {
  const limits = task.Spec.Resources?.Limits;
  const options: ShimOptions = { path };
  if (spec.User) options.user = spec.User;
  if (spec.Dir) options.dir = spec.Dir;
  if (limits?.MemoryBytes) options.memory = String(limits.MemoryBytes);
  if (limits?.NanoCPUs) options.nano_cpus = String(limits.NanoCPUs);
  if (limits?.Pids) options.pids = String(limits.Pids);
  if (dependenciesOf(task.Spec).length > 0) options.kept = "yes";
  return { id: task.ID, command, options, env: spec.Env ?? [] };
}
