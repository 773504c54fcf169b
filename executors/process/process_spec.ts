/** From a task to what the shim is asked to run. */
import { dependenciesOf } from "../../api/dependency.ts";
import { DAY_MS, toMs } from "../../api/duration.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { type ProcessSpec, stopGraceMs } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { userProblem } from "../../api/validate/process_user.ts";

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

/** The fields that every spec of a program has. */
type ProgramSpec = Pick<ProcessSpec, "Args" | "Env" | "Dir" | "User" | "StopSignal" | "StopGracePeriod">;

/** How a program is stopped. */
export interface StopPolicy {
  /** Without `SIG`: `TERM`. */
  signal: string;
  graceMs: number;
}

/** Longest grace period that is taken, a day: beyond it a typing error is likelier. */
const MAX_GRACE_MS = DAY_MS;
/** The kernel refuses an argument or variable of 128 KiB or more (MAX_ARG_STRLEN). */
const MAX_STRING_BYTES = 128 * 1024 - 1;
/** Most variables of one program; the shim walks over them one by one. */
const MAX_ENV = 1000;
/** The kernel takes no more arguments and variables in all (a quarter of the stack's usual limit). */
const MAX_TOTAL_BYTES = 2 * 1024 * 1024;
/** Control characters that shells take as they are; two of them hold the texts of a request apart. */
const SEPARATORS = [...Array(32).keys()].filter((code) => code > 1 && (code < 9 || code > 13)).map((code) =>
  String.fromCharCode(code)
);

const SIGNALS = new Set(
  ("HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD CONT STOP TSTP TTIN TTOU URG " +
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS").split(" "),
);

/** `SIGTERM`, `term`, `15` as `TERM` or a number; undefined if there is no such signal. */
function signalName(signal: string): string | undefined {
  if (/^\d+$/.test(signal)) return Number(signal) >= 1 && Number(signal) <= 64 ? signal : undefined;
  const name = signal.toUpperCase().replace(/^SIG/, "");
  return SIGNALS.has(name) ? name : undefined;
}

/** How `task` wants to be stopped; its spec must have passed {@linkcode shimRequest}. */
export function stopPolicy(task: Task): StopPolicy {
  const { ProcessSpec, DenoSpec } = task.Spec;
  const { StopSignal } = (ProcessSpec ?? DenoSpec)!;
  return { signal: signalName(StopSignal || "SIGTERM")!, graceMs: stopGraceMs(task.Spec) };
}

/** Control characters that none of `texts` has; fewer than two if they have nearly all of them. */
export function separatorsFor(texts: readonly string[]): string[] {
  return SEPARATORS.filter((separator) => !texts.some((text) => text.includes(separator)));
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
  else if (spec.Command.includes("/") && !spec.Command.startsWith("/")) {
    bad("ProcessSpec.Command", `must be an absolute path or a name without slash: ${spec.Command}`);
  } else {
    const wrong = textProblem(spec.Command);
    if (wrong) bad("ProcessSpec.Command", wrong);
  }
  return [...problems, ...programProblems("ProcessSpec", spec, [spec.Command])];
}

function textProblem(value: string): string | undefined {
  if (value.includes("\0")) return "contains a zero byte";
  const tooLong = new TextEncoder().encode(value).length > MAX_STRING_BYTES;
  return tooLong ? `longer than ${MAX_STRING_BYTES} bytes` : undefined;
}

/** What is wrong with the fields that every program has; `name` is the spec's, `more` what else the shim is told. */
export function programProblems(name: string, spec: ProgramSpec, more: string[]): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const bad = (field: string, message: string) => problems.push({ field: `${name}${field}`, message });
  const text = (field: string, value: string) => {
    const wrong = textProblem(value);
    if (wrong) bad(field, wrong);
  };
  spec.Args?.forEach((arg, i) => text(`.Args[${i}]`, arg));
  if ((spec.Env?.length ?? 0) > MAX_ENV) bad(".Env", `more than ${MAX_ENV} variables`);
  spec.Env?.forEach((entry, i) => {
    const field = `.Env[${i}]`;
    if (!/^[A-Za-z_][A-Za-z0-9_]*=/.test(entry)) bad(field, `must be NAME=value: ${entry.split("=")[0]}`);
    else if (/^_?covey_/i.test(entry)) bad(field, `COVEY_ names are reserved: ${entry.split("=")[0]}`);
    else text(field, entry);
  });
  if (spec.Dir && !spec.Dir.startsWith("/")) bad(".Dir", `must be an absolute path: ${spec.Dir}`);
  else text(".Dir", spec.Dir ?? "");
  const user = userProblem(spec.User ?? "");
  if (user) bad(".User", user);
  const texts = [...more, spec.Dir ?? "", ...spec.Args ?? [], ...spec.Env ?? []];
  if (texts.reduce((sum, value) => sum + value.length, 0) > MAX_TOTAL_BYTES) {
    bad("", `arguments and variables are longer than ${MAX_TOTAL_BYTES} bytes in all`);
  }
  if (separatorsFor(texts).length < 2) bad("", "its texts have nearly every control character");
  if (spec.StopSignal && !signalName(spec.StopSignal)) {
    bad(".StopSignal", `no such signal: ${spec.StopSignal}`);
  }
  const grace = spec.StopGracePeriod;
  if (grace !== undefined && !(grace >= 0 && toMs(grace) <= MAX_GRACE_MS)) {
    bad(".StopGracePeriod", `must be between 0 and 24 hours in nanoseconds: ${grace}`);
  }
  return problems;
}

/**
 * What the shim is asked to run for `task`. `path` is the node's PATH.
 *
 * @throws {CoveyError} `invalid_argument` with every problem of the spec.
 */
export function shimRequest(task: Task, path: string): ShimRequest {
  const problems = problemsOf(task);
  if (problems.length > 0) throw CoveyError.invalid("run task as a process", problems);
  const spec = task.Spec.ProcessSpec!;
  // The program is looked up in its own PATH, as a shell would.
  const own = spec.Env?.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length);
  return requestFor(task, spec, [spec.Command, ...spec.Args ?? []], own ?? path);
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
