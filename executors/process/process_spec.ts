/** From a task to what the shim is asked to run. */
import { DAY_MS, toMs } from "../../api/duration.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { stopGraceMs } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { commandProblem } from "../../api/validate/process_command.ts";
import { userProblem } from "../../api/validate/process_user.ts";

/** How the shim starts a program; numbers in decimal. */
export interface ShimOptions {
  /** The program's own PATH. */
  path: string;
  /** USER or USER:GROUP, names or numbers. */
  user?: string;
  dir?: string;
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
}

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
  const { StopSignal } = task.Spec.ProcessSpec!;
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
  const text = (field: string, value: string) => {
    if (value.includes("\0")) bad(field, "contains a zero byte");
    else if (new TextEncoder().encode(value).length > MAX_STRING_BYTES) {
      bad(field, `longer than ${MAX_STRING_BYTES} bytes`);
    }
  };
  if (!spec.Command) bad("ProcessSpec.Command", "missing");
  const command = commandProblem(spec.Command ?? "");
  if (command) bad("ProcessSpec.Command", command);
  else text("ProcessSpec.Command", spec.Command);
  spec.Args?.forEach((arg, i) => text(`ProcessSpec.Args[${i}]`, arg));
  if ((spec.Env?.length ?? 0) > MAX_ENV) bad("ProcessSpec.Env", `more than ${MAX_ENV} variables`);
  spec.Env?.forEach((entry, i) => {
    const field = `ProcessSpec.Env[${i}]`;
    if (!/^[A-Za-z_][A-Za-z0-9_]*=/.test(entry)) bad(field, `must be NAME=value: ${entry.split("=")[0]}`);
    else if (/^_?covey_/i.test(entry)) bad(field, `COVEY_ names are reserved: ${entry.split("=")[0]}`);
    else text(field, entry);
  });
  if (spec.Dir && !spec.Dir.startsWith("/")) bad("ProcessSpec.Dir", `must be an absolute path: ${spec.Dir}`);
  else text("ProcessSpec.Dir", spec.Dir ?? "");
  const user = userProblem(spec.User ?? "");
  if (user) bad("ProcessSpec.User", user);
  const texts = [spec.Command, spec.Dir ?? "", ...spec.Args ?? [], ...spec.Env ?? []];
  if (texts.reduce((sum, value) => sum + value.length, 0) > MAX_TOTAL_BYTES) {
    bad("ProcessSpec", `arguments and variables are longer than ${MAX_TOTAL_BYTES} bytes in all`);
  }
  if (separatorsFor(texts).length < 2) bad("ProcessSpec", "its texts have nearly every control character");
  if (spec.StopSignal && !signalName(spec.StopSignal)) {
    bad("ProcessSpec.StopSignal", `no such signal: ${spec.StopSignal}`);
  }
  const grace = spec.StopGracePeriod;
  if (grace !== undefined && !(grace >= 0 && toMs(grace) <= MAX_GRACE_MS)) {
    bad("ProcessSpec.StopGracePeriod", `must be between 0 and 24 hours in nanoseconds: ${grace}`);
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
  const limits = task.Spec.Resources?.Limits;
  const env = spec.Env ?? [];
  // The program is looked up in its own PATH, as a shell would.
  const own = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length);
  const options: ShimOptions = { path: own ?? path };
  if (spec.User) options.user = spec.User;
  if (spec.Dir) options.dir = spec.Dir;
  if (limits?.MemoryBytes) options.memory = String(limits.MemoryBytes);
  if (limits?.NanoCPUs) options.nano_cpus = String(limits.NanoCPUs);
  if (limits?.Pids) options.pids = String(limits.Pids);
  return { id: task.ID, command: [spec.Command, ...spec.Args ?? []], options, env };
}
