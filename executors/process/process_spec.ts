/** From a task to what the shim is asked to run. */
import { DAY_MS, toMs } from "../../api/duration.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";

/** A program as the shim takes it. */
export interface ShimRequest {
  id: string;
  command: string[];
  /** `path` and, where they are set, `user`, `dir`, `memory` (bytes), `nano_cpus` and `pids`. */
  options: Record<string, string>;
  /** The program's variables, `NAME=value`. */
  env: string[];
}

/** How a program is stopped. */
export interface StopPolicy {
  /** Without `SIG`: `TERM`. */
  signal: string;
  graceMs: number;
}

/** Default time between the stop signal and SIGKILL (SwarmKit). */
const DEFAULT_GRACE_MS = 10_000;
/** Longest grace period that is taken, a day: beyond it a typing error is likelier. */
const MAX_GRACE_MS = DAY_MS;
/** The kernel refuses an argument or variable of 128 KiB or more (MAX_ARG_STRLEN). */
const MAX_STRING_BYTES = 128 * 1024 - 1;
/** Most variables of one program; the shim walks over them one by one. */
const MAX_ENV = 1000;

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
  const { StopSignal, StopGracePeriod } = task.Spec.ProcessSpec!;
  return {
    signal: signalName(StopSignal || "SIGTERM")!,
    graceMs: toMs(StopGracePeriod, DEFAULT_GRACE_MS),
  };
}

function problemsOf(task: Task): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const bad = (field: string, message: string) => problems.push({ field, message });
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(task.ID)) bad("ID", `not a task ID: ${task.ID}`);
  const spec = task.Spec.ProcessSpec;
  if (!spec) return [...problems, { field: "ProcessSpec", message: "missing" }];
  const text = (field: string, value: string) => {
    if (value.includes("\0")) bad(field, "contains a zero byte");
    else if (new TextEncoder().encode(value).length > MAX_STRING_BYTES) {
      bad(field, `longer than ${MAX_STRING_BYTES} bytes`);
    }
  };
  if (!spec.Command) bad("ProcessSpec.Command", "missing");
  else if (spec.Command.includes("/") && !spec.Command.startsWith("/")) {
    bad("ProcessSpec.Command", `must be an absolute path or a name without slash: ${spec.Command}`);
  } else text("ProcessSpec.Command", spec.Command);
  spec.Args?.forEach((arg, i) => text(`ProcessSpec.Args[${i}]`, arg));
  if ((spec.Env?.length ?? 0) > MAX_ENV) bad("ProcessSpec.Env", `more than ${MAX_ENV} variables`);
  spec.Env?.forEach((entry, i) => {
    const field = `ProcessSpec.Env[${i}]`;
    if (!/^[A-Za-z_][A-Za-z0-9_]*=/.test(entry)) bad(field, `must be NAME=value: ${entry.split("=")[0]}`);
    else if (/^_?covey_/i.test(entry)) bad(field, `COVEY_ names are reserved: ${entry.split("=")[0]}`);
    else text(field, entry);
  });
  if (spec.Dir && !spec.Dir.startsWith("/")) bad("ProcessSpec.Dir", `must be an absolute path: ${spec.Dir}`);
  if (spec.User && !/^[^\s:/]+(:[^\s:/]+)?$/.test(spec.User)) {
    bad("ProcessSpec.User", `must be USER or USER:GROUP: ${spec.User}`);
  }
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
  const options: Record<string, string> = { path: own ?? path };
  if (spec.User) options.user = spec.User;
  if (spec.Dir) options.dir = spec.Dir;
  if (limits?.MemoryBytes) options.memory = String(limits.MemoryBytes);
  if (limits?.NanoCPUs) options.nano_cpus = String(limits.NanoCPUs);
  if (limits?.Pids) options.pids = String(limits.Pids);
  return { id: task.ID, command: [spec.Command, ...spec.Args ?? []], options, env };
}
