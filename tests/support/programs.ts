/** The project's programs as processes, for tests that look at them from the outside: what they print and how they end. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { signalled } from "./limited.ts";

/** Longest wait for a program to print something or to end: a loaded machine is slow, a broken program never does. */
const LIMIT_MS = 120_000;
const POLL_MS = 20;

/** The repository's folder. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Programs by the file that starts them. */
const PROGRAMS = { manager: `${ROOT}manager/launch.sh`, agent: `${ROOT}agent/launch.sh`, docker: "docker" };

/** A started program and everything it has printed, standard output and error in one. */
export class Program {
  output = "";
  readonly #child: Deno.ChildProcess;
  readonly #done: Promise<number>;
  #ended = false;

  constructor(path: string, args: string[], env: Record<string, string> = {}) {
    this.#child = new Deno.Command(path, {
      args,
      cwd: ROOT,
      env: { COVEY_DENO: Deno.execPath(), NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const copies = [this.#child.stdout, this.#child.stderr].map((stream) => this.#copy(stream));
    this.#done = Promise.all([this.#child.status, ...copies]).then(([{ code }]) => {
      this.#ended = true;
      return code;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Resolves once the output matches; fails with the output if the program ends before. */
  async says(pattern: RegExp): Promise<void> {
    await eventually(`the output matches ${pattern}`, () => {
      const found = pattern.test(this.output);
      if (!found && this.#ended) throw new Error(`ended without saying ${pattern}:\n${this.output}`);
      return Promise.resolve(found);
    }, () => this.output);
  }

  /** Resolves with the exit code whenever it ends. */
  get ended(): Promise<number> {
    return this.#done;
  }

  /** Resolves with the exit code; a program that does not end in time is killed. */
  async ends(): Promise<number> {
    const timer = setTimeout(() => signalled(this.#child, "SIGKILL"), LIMIT_MS);
    const code = await this.#done;
    clearTimeout(timer);
    return code;
  }

  /** Sends a signal and waits for the end. */
  end(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    if (!this.#ended) signalled(this.#child, signal);
    return this.ends();
  }

  async #copy(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.output += text;
  }
}

/** Starts a manager or an agent in its sandbox, as on a device. Neither has an engine or, unless said, an agent beside it. */
export function start(program: "manager" | "agent", ...args: string[]): Program {
  return new Program(PROGRAMS[program], ["--docker", "none", ...args]);
}

/** Runs a program that must end with 1 and say why. */
export async function refused(program: Program, ...reasons: RegExp[]): Promise<void> {
  const code = await program.ends();
  for (const reason of reasons) assert.match(program.output, reason);
  assert.doesNotMatch(program.output, /Uncaught|panicked|\n {4}at |error: /, "a stack trace is no message");
  assert.equal(code, 1, program.output);
}

/** What a command line has printed, and its exit code. */
export interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `docker` or `covey` against the control socket at `socket`. */
export async function run(program: "docker" | "covey", socket: string, ...args: string[]): Promise<Answer> {
  const host = ["-H", `unix://${socket}`, ...args];
  const [path, flags] = program === "docker" ? ["docker", host] : [Deno.execPath(), coveyArgs(host)];
  const { code, stdout, stderr } = await new Deno.Command(path, {
    args: flags,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Arguments of deno that run the `covey` task in the sandbox that `deno.json` gives it. */
export function coveyArgs(args: string[]): string[] {
  return [...TASKS.covey.split(" ").slice(1), ...args];
}

/** Arguments of deno that run the demo. */
export function demoArgs(args: string[]): string[] {
  return [...TASKS.demo.split(" ").slice(1), ...args];
}

const TASKS = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)).tasks as { covey: string; demo: string };

/** Polls until `done`; after `limitMs` fails with what `seen` says. */
export async function eventually(
  what: string,
  done: () => Promise<boolean>,
  seen: () => string = () => "",
  limitMs: number = LIMIT_MS,
): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!await done()) {
    if (performance.now() > limit) throw new Error(`waited in vain until ${what}; last seen:\n${seen()}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Polls until a command succeeds with a standard output that matches. */
export async function shows(
  pattern: RegExp,
  program: "docker" | "covey",
  socket: string,
  ...args: string[]
): Promise<void> {
  let last: Answer | undefined;
  await eventually(`${program} ${args.join(" ")} shows ${pattern}`, async () => {
    last = await run(program, socket, ...args);
    return last.code === 0 && pattern.test(last.stdout);
  }, () => `${last?.stdout}${last?.stderr}`);
}

/** A folder that is removed after `test`. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-e2e-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A port that is free on every loopback address. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
