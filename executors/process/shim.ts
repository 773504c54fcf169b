/** Talks to `shim.sh`, the only program that the agent's sandbox may run. `shim_server.sh` says how. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { separatorsFor } from "../../api/validate/program.ts";
import type { Counters } from "../executor.ts";
import type { ShimRequest } from "./process_spec.ts";
import { ServerLost, ShimServer } from "./shim_server.ts";

/** The shell reads a request byte by byte: a longer one gets a server of its own, so that it holds up no other. */
const MAX_SHARED_BYTES = 16 * 1024;

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

/** Finds the line `exit CODE [oom | lost INTERPRETER]`; undefined unless there is a whole one. */
export function parseExit(text: string): ExitRecord | undefined {
  const [, code, oom, lost] = /^exit (\d+)(?: (oom)| lost ([^\n]+))? *\n/m.exec(text) ?? [];
  if (code === undefined) return undefined;
  const reason = oom
    ? "out of memory"
    : lost
    ? `no such interpreter: ${printable(lost)}`
    : signalOf(Number(code));
  return { code: Number(code), ...reason ? { reason } : {} };
}

/** Linux's signals that end a program, by their numbers. */
const SIGNALS = " HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM".split(" ");

/** A shell says 128 and the signal's number of a program that one has ended; so may a program by itself. */
function signalOf(code: number): string | undefined {
  const name = SIGNALS[code - 128];
  return name ? `as by signal ${name}` : undefined;
}

/** A script written elsewhere ends its first line with a carriage return, which nobody would see. */
function printable(path: string): string {
  // deno-lint-ignore no-control-regex -- those are meant
  return path.replace(/[\x00-\x1f\x7f]/g, (unit) => `\\x${unit.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** Lines of facts that are taken: a device has a few dozen. */
const MAX_FACTS = 256;
/** A name, and a value that a constraint can name. */
const FACT = /^([a-z]+) ([\x20-\x7e]{1,255})$/;

/** Reads lines `NAME VALUE`. What no constraint could name, as a vendor's odd text, is left out. */
export function parseFacts(text: string): Record<string, string[]> {
  const facts = new Map<string, string[]>();
  let count = 0;
  for (const line of text.split("\n")) {
    const [, name, value] = FACT.exec(line.trimEnd()) ?? [];
    if (name === undefined || ++count > MAX_FACTS) continue;
    const values = facts.get(name);
    if (values) values.push(value!);
    else facts.set(name, [value!]);
  }
  return Object.fromEntries(facts);
}

/** The shim at `path`, keeping its files under `stateDir`. */
export class Shim {
  readonly #path: string;
  readonly #stateDir: string;
  readonly #clock: Clock;
  readonly #server: ShimServer;

  constructor(path: string, stateDir: string, clock: Clock) {
    this.#path = path;
    this.#stateDir = stateDir;
    this.#clock = clock;
    this.#server = this.#newServer();
  }

  /**
   * Starts a program and returns its pid; undefined if another shim has claimed the task, or may have.
   *
   * @throws {CoveyError} naming the field of the spec that keeps it from running.
   */
  async run(request: ShimRequest): Promise<number | undefined> {
    const answer = await this.#ask("run", request).catch(lostAsUndefined);
    if (answer === undefined || answer === "claimed") return undefined;
    const [word, rest = ""] = split(answer);
    if (word === "started") return Number(rest);
    if (word === "refused") throw refusal(...split(rest));
    throw new CoveyError("internal", `Cannot start process: the shim answered ${JSON.stringify(answer)}`);
  }

  /**
   * Asks whether a program would be let in, and starts nothing.
   *
   * @throws {CoveyError} naming the field of the spec that is not.
   */
  async judge(request: ShimRequest): Promise<void> {
    const answer = await this.#ask("judge", request);
    const [word, rest = ""] = split(answer);
    if (word === "refused") throw refusal(...split(rest));
    if (word !== "fit") {
      throw new CoveyError("internal", `Cannot judge process: the shim answered ${JSON.stringify(answer)}`);
    }
  }

  /** Looks what became of a task's program. */
  async check(id: string): Promise<ShimState> {
    const answer = await this.#askTwice("check", id);
    const exit = parseExit(`${answer}\n`);
    if (exit) return { state: "exited", exit };
    const [word, pid] = split(answer);
    if (word === "running" || word === "orphan") return { state: word, pid: Number(pid) };
    if (word === "new" || word === "gone") return { state: word };
    throw new CoveyError("internal", `Cannot check process: the shim answered ${JSON.stringify(answer)}`);
  }

  /** Signals a task's whole process group; `KILL` also ends what left the group. No program is no error. */
  async signal(id: string, name: string): Promise<void> {
    await this.#askTwice("signal", `${id} ${name}`);
  }

  /** Signals a task's first process alone. No program is no error. */
  async tell(id: string, name: string): Promise<void> {
    await this.#askTwice("tell", `${id} ${name}`);
  }

  /** The device's memory and name, and who runs a task that names no user, as the shim says it; ends programs whose state folder was deleted, for whom no task is known any more. */
  async describe(): Promise<{ memoryBytes: number; user: string; hostname: string }> {
    const child = this.#spawn(["describe", this.#stateDir], "null");
    const [text] = await Promise.all([new Response(child.stdout).text(), child.status]);
    const [kibibytes, user = "", hostname = ""] = text.trim().split(" ");
    return { memoryBytes: Number(kibibytes) * 1024, user, hostname };
  }

  /** How the device is, as `shim_measure.sh` says it. */
  async measure(): Promise<Counters> {
    const child = this.#spawn(["measure", this.#stateDir], "null");
    const [text] = await Promise.all([new Response(child.stdout).text(), child.status]);
    return parseCounters(text);
  }

  /** What the device is, by name; anew each time, as things are plugged in. */
  async facts(): Promise<Record<string, string[]>> {
    const child = this.#spawn(["facts"], "null");
    const [text] = await Promise.all([new Response(child.stdout).text(), child.status]);
    return parseFacts(text);
  }

  /** Programs stay. */
  close(): Promise<void> {
    return this.#server.close();
  }

  async #ask(verb: "run" | "judge", asked: ShimRequest): Promise<string> {
    const request = `${asked.id} ${encodeRequest(asked)}`;
    if (request.length <= MAX_SHARED_BYTES) return await this.#server.ask(verb, request);
    const server = this.#newServer("once");
    try {
      return await server.ask(verb, request);
    } finally {
      await server.close();
    }
  }

  #newServer(...more: string[]): ShimServer {
    return new ShimServer(() => this.#spawn(["serve", this.#stateDir, ...more], "piped"), this.#clock);
  }

  /** What may be done twice is asked again where the answer was lost. */
  #askTwice(verb: string, rest: string): Promise<string> {
    return this.#server.ask(verb, rest).catch((error) => {
      if (!(error instanceof ServerLost)) throw error;
      return this.#server.ask(verb, rest);
    });
  }

  #spawn(args: string[], stdin: "piped" | "null"): Deno.ChildProcess {
    try {
      return new Deno.Command(this.#path, { args, clearEnv: true, stdin, stdout: "piped", stderr: "null" })
        .spawn();
    } catch (error) {
      // Out of processes, memory or descriptors passes; a missing or forbidden shim does not.
      const final = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable ||
        error instanceof Deno.errors.PermissionDenied;
      const message = `Cannot run ${this.#path}: ${error instanceof Error ? error.message : error}`;
      throw new CoveyError(final ? "failed_precondition" : "unavailable", message, { cause: error });
    }
  }
}

/** One line a fact; what is no number says nothing. */
export function parseCounters(text: string): Counters {
  const facts = new Map(
    text.split("\n").map((line) => {
      const [key = "", ...values] = line.split(" ");
      return [key, values.map((value) => /^\d{1,15}$/.test(value) ? Number(value) : NaN)] as const;
    }),
  );
  const first = (key: string) => {
    const [value = NaN] = facts.get(key) ?? [];
    return Number.isNaN(value) ? {} : { [key]: value };
  };
  const pair = (key: string) => {
    const [one = NaN, other = NaN] = facts.get(key) ?? [];
    return Number.isNaN(one + other) ? {} : { [key]: [one, other] };
  };
  const throttled = /^throttled (?:0x)?([0-9a-f]{1,8})$/im.exec(text)?.[1];
  return {
    ...pair("cpu"),
    ...pair("memory"),
    ...pair("disk"),
    ...first("temperature"),
    ...first("written"),
    ...(throttled !== undefined && { throttled: parseInt(throttled, 16) }),
  };
}

/** The request as the shim takes it: two separators, and three lines of texts. */
export function encodeRequest(
  { command: [program = "", ...args], options, env, grants = "" }: ShimRequest,
): string {
  const { path, user = "", dir = "", kept = "", memory = "", nano_cpus = "", pids = "" } = options;
  const { closed = "", devices = "", node = "" } = options;
  const limits = [memory, nano_cpus, pids];
  const lines = [[path, user, dir, kept, ...limits, closed, devices, node, program, grants], env, args];
  const [separator = "", newline = ""] = separatorsFor(lines.flat());
  const line = (texts: string[]) => texts.map((text) => text.replaceAll("\n", newline) + separator).join("");
  return [`${separator} ${newline}`, ...lines.map(line)].join("\n");
}

function lostAsUndefined(error: unknown): undefined {
  if (!(error instanceof ServerLost)) throw error;
}

function refusal(field: string, message = ""): CoveyError {
  const code = /\.(Command|Module)$/.test(field) && message.startsWith("no such")
    ? "not_found"
    : "failed_precondition";
  const text = `Cannot start process: ${field}: ${message}`;
  return new CoveyError(code, text, { problems: [{ field, message }] });
}

function split(line: string): [string, string?] {
  const space = line.indexOf(" ");
  return space < 0 ? [line] : [line.slice(0, space), line.slice(space + 1)];
}
