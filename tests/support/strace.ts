/** A manager whose system calls are seen, or made to fail, by strace. */
import { eventually, Program, ROOT } from "./programs.ts";

/** Whether system calls can be traced here. */
export async function canTrace(): Promise<boolean> {
  try {
    const { success } = await new Deno.Command("strace", { args: ["-o", "/dev/null", "true"] }).output();
    return success;
  } catch {
    return false;
  }
}

/** Starts a manager with `options` of strace, which writes to `trace`; the process is the manager itself. */
export function traced(trace: string, options: string[], flags: string[]): Program {
  const launcher = `${ROOT}manager/launch.sh`;
  return new Program("strace", [
    ...["-D", "-f", "-o", trace, ...options, launcher, "--docker", "none", "--no-agent", ...flags],
  ]);
}

/** The trace, once its last process has ended. */
export async function finishedTrace(trace: string, pid: number): Promise<string[]> {
  let lines: string[] = [];
  await eventually("the trace is complete", async () => {
    lines = (await Deno.readTextFile(trace)).trimEnd().split("\n");
    // Numbers are padded to a column.
    return lines.some((line) => line.startsWith(`${pid} `) && line.includes(" +++ "));
  }, () => lines.at(-1) ?? "");
  return lines;
}

interface Write {
  at: number;
  bytes: Uint8Array;
}

/**
 * What a disk that forgets everything that was not synced would hold: the files named `paths`, rebuilt from a trace of
 * their writes (`-y -xx`), each as of its last successful fsync.
 */
export function syncedFiles(lines: readonly string[], paths: readonly string[]): Map<string, Uint8Array> {
  const durable = new Map<string, Uint8Array>();
  const waiting = new Map<string, Write[]>();
  const syncing = new Map<string, string>();
  const positions = new Map<string, number>();
  for (const line of lines) {
    const resumed = /^(\d+) +<\.\.\. f(?:data)?sync resumed>.*= 0/.exec(line);
    const call = /^(\d+) +(\w+)\(\d+<([^>]*)>(.*)$/.exec(line);
    if (resumed) sync(durable, waiting, syncing.get(resumed[1]!)!);
    if (!call) continue;
    const [, pid, name, written, rest] = call;
    const path = written!.startsWith("\\x") ? text(written!) : written!;
    if (!paths.includes(path)) continue;
    if (name === "fsync" || name === "fdatasync") {
      if (rest!.includes("unfinished")) syncing.set(pid!, path);
      else if (rest!.endsWith("= 0")) sync(durable, waiting, path);
    } else if (name === "pwrite64") {
      const [, data, at] = /^, "([^"]*)", \d+, (\d+)/.exec(rest!)!;
      waiting.set(path, [...waiting.get(path) ?? [], { at: Number(at), bytes: hex(data!) }]);
    } else if (name === "lseek") {
      positions.set(path, Number(/ = (\d+)$/.exec(rest!)![1]));
    } else if (name === "write") {
      const bytes = hex(/^, "([^"]*)", \d+/.exec(rest!)![1]!), at = positions.get(path) ?? 0;
      waiting.set(path, [...waiting.get(path) ?? [], { at, bytes }]);
      positions.set(path, at + bytes.length);
      // A file that was cut stays longer here: SQLite reads as far as the headers say.
    } else if (name !== "ftruncate") throw new Error(`cannot replay ${line.slice(0, 200)}`);
  }
  return durable;
}

function sync(durable: Map<string, Uint8Array>, waiting: Map<string, Write[]>, path: string): void {
  let file = durable.get(path) ?? new Uint8Array();
  for (const { at, bytes } of waiting.get(path) ?? []) {
    if (file.length < at + bytes.length) {
      const longer = new Uint8Array(at + bytes.length);
      longer.set(file);
      file = longer;
    }
    file.set(bytes, at);
  }
  durable.set(path, file);
  waiting.delete(path);
}

function hex(escaped: string): Uint8Array {
  return Uint8Array.fromHex(escaped.replaceAll("\\x", ""));
}

function text(escaped: string): string {
  return new TextDecoder().decode(hex(escaped));
}
