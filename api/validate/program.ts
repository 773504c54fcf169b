/** What the device's shim takes of a program: known where it is submitted, and checked again where it is run. */
import { DAY_MS, toMs } from "../duration.ts";
import type { FieldProblem } from "../errors.ts";
import type { ProcessSpec } from "../service.ts";
import { userProblem } from "./process_user.ts";

/** The fields that every spec of a program has. */
export type ProgramSpec = Pick<
  ProcessSpec,
  "Args" | "Env" | "Dir" | "User" | "StopSignal" | "StopGracePeriod"
>;

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
export function signalName(signal: string): string | undefined {
  if (/^\d+$/.test(signal)) return Number(signal) >= 1 && Number(signal) <= 64 ? signal : undefined;
  const name = signal.toUpperCase().replace(/^SIG/, "");
  return SIGNALS.has(name) ? name : undefined;
}

/** Control characters that none of `texts` has; fewer than two if they have nearly all of them. */
export function separatorsFor(texts: readonly string[]): string[] {
  return SEPARATORS.filter((separator) => !texts.some((text) => text.includes(separator)));
}

/** Why `value` is no argument or variable, if it is none. */
export function textProblem(value: string): string | undefined {
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
