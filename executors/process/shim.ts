/** Talks to `shim.sh`, the only program that the agent's sandbox may run. */
import { CoveyError } from "../../api/errors.ts";
import type { ShimRequest } from "./process_spec.ts";

/** What the shim knows of a task. `orphan`: the program runs but its shim is gone. */
export type ShimState =
  | { state: "new" | "gone" }
  | { state: "running" | "orphan"; pid: number }
  | { state: "exited"; exit: ExitRecord };

/** The line a shim leaves when its program has ended. */
export interface ExitRecord {
  code: number;
  /** Why, where the code does not say it. */
  reason?: string;
}

/** A program that runs. */
export interface Started {
  pid: number;
  /** Resolves when the shim itself has ended. */
  shimEnded: Promise<unknown>;
}

/** An answer is one short line; more means that something else than our shim runs. */
const MAX_ANSWER_BYTES = 16 * 1024;
/** Holds the usual answer. */
const READ_BYTES = 256;

/** Reads `exit CODE [oom | lost INTERPRETER]`; undefined unless the line is whole. */
export function parseExit(text: string): ExitRecord | undefined {
  const [, code, oom, lost] = /^exit (\d+)(?: (oom)| lost ([^\n]+))? *\n/.exec(text) ?? [];
  if (code === undefined) return undefined;
  const reason = oom ? "out of memory" : lost && `no such interpreter: ${printable(lost)}`;
  return { code: Number(code), ...reason ? { reason } : {} };
}

/** A script written elsewhere ends its first line with a carriage return, which nobody would see. */
function printable(path: string): string {
  // deno-lint-ignore no-control-regex -- those are meant
  return path.replace(/[\x00-\x1f\x7f]/g, (unit) => `\\x${unit.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** The shim at `path`, keeping its files under `stateDir`. */
export class Shim {
  readonly #path: string;
  readonly #stateDir: string;

  constructor(path: string, stateDir: string) {
    this.#path = path;
    this.#stateDir = stateDir;
  }

  /**
   * Starts a program. Returns undefined if an earlier shim claimed the task.
   *
   * @throws {CoveyError} naming the field of the spec that keeps it from running.
   */
  async run(request: ShimRequest): Promise<Started | undefined> {
    const child = this.#spawn(["run", this.#stateDir, request.id, "--", ...request.command], {
      env: request.env,
    });
    child.unref();
    const answer = await firstLine(child.stdout);
    const [word, rest = ""] = split(answer);
    if (word === "started") return { pid: Number(rest), shimEnded: child.status };
    if (word === "claimed") return undefined;
    await child.status;
    if (word === "refused") throw refusal(...split(rest));
    throw new CoveyError("internal", `Cannot start process: the shim answered ${JSON.stringify(answer)}`);
  }

  /** Looks what became of a task's program. */
  async check(id: string): Promise<ShimState> {
    const answer = await this.#ask(["check", this.#stateDir, id]);
    const exit = parseExit(answer);
    if (exit) return { state: "exited", exit };
    const [word, pid] = split(answer.trim());
    if (word === "running" || word === "orphan") return { state: word, pid: Number(pid) };
    if (word === "new" || word === "gone") return { state: word };
    throw new CoveyError("internal", `Cannot check process: the shim answered ${JSON.stringify(answer)}`);
  }

  /** Signals a task's whole process group; `KILL` also ends what left the group. No program is no error. */
  async signal(id: string, name: string): Promise<void> {
    await this.#ask(["signal", this.#stateDir, id, name]);
  }

  /** The device's memory and name. */
  async describe(): Promise<{ memoryBytes: number; hostname: string }> {
    const [kibibytes, hostname = ""] = split((await this.#ask(["describe"])).trim());
    return { memoryBytes: Number(kibibytes) * 1024, hostname };
  }

  async #ask(args: string[]): Promise<string> {
    const child = this.#spawn(args, {});
    const [text] = await Promise.all([wholeText(child.stdout), child.status]);
    return text;
  }

  #spawn(args: string[], options: Deno.CommandOptions): Deno.ChildProcess {
    try {
      return new Deno.Command(this.#path, {
        ...options,
        args,
        clearEnv: true,
        stdin: "null",
        stdout: "piped",
        stderr: "null",
      }).spawn();
    } catch (error) {
      // Out of processes, memory or descriptors passes; a missing or forbidden shim does not.
      const final = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable ||
        error instanceof Deno.errors.PermissionDenied;
      const message = `Cannot run ${this.#path}: ${error instanceof Error ? error.message : error}`;
      throw new CoveyError(final ? "failed_precondition" : "unavailable", message, { cause: error });
    }
  }
}

function refusal(field: string, message = ""): CoveyError {
  const code = field === "ProcessSpec.Command" && message.startsWith("no such")
    ? "not_found"
    : "failed_precondition";
  const text = `Cannot start process: ${field}: ${message}`;
  return new CoveyError(code, text, { problems: [{ field, message }] });
}

function split(line: string): [string, string?] {
  const space = line.indexOf(" ");
  return space < 0 ? [line] : [line.slice(0, space), line.slice(space + 1)];
}

/** The text up to the end. */
function wholeText(stream: ReadableStream<Uint8Array>): Promise<string> {
  return readUntil(stream, () => false);
}

/** The text up to the first newline; the rest is let go, as the shim's own end keeps the pipe open. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  return (await readUntil(stream, (text) => text.includes("\n"))).split("\n")[0]!;
}

/** Reads into one small buffer: by default each read of a stream takes 64 KiB, and many shims may be asked at once. */
async function readUntil(stream: ReadableStream<Uint8Array>, isEnough: (text: string) => boolean) {
  const reader = stream.getReader({ mode: "byob" }), decoder = new TextDecoder();
  let text = "", buffer = new Uint8Array(READ_BYTES);
  while (!isEnough(text) && text.length < MAX_ANSWER_BYTES) {
    const { done, value } = await reader.read(buffer);
    if (done) break;
    text += decoder.decode(value, { stream: true });
    buffer = new Uint8Array(value.buffer);
  }
  await reader.cancel();
  return text;
}
