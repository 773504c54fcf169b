/** A device whose console is a shell: whatever is typed runs there, whatever it prints is seen here. */
import { eventually } from "./programs.ts";
import { signalled } from "./limited.ts";

/** How the machine is started, and how long it may take for anything. */
export interface ConsoleMachine {
  program: string;
  args: string[];
  env?: Record<string, string>;
  limitMs: number;
}

/** One device, which may be switched on and off as often as one likes; what is on its disk stays. */
export class ConsoleDevice {
  /** Everything the console has shown since the last start. */
  output = "";
  readonly #how: ConsoleMachine;
  #machine: Deno.ChildProcess | undefined;
  #console: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #copy: Promise<void> = Promise.resolve();
  #commands = 0;
  #ended = false;

  constructor(how: ConsoleMachine) {
    this.#how = how;
  }

  /** Starts the machine, whose first word is that it is up. */
  async switchOn(): Promise<void> {
    this.output = "";
    this.#ended = false;
    const { program, args, env = {} } = this.#how;
    this.#machine = new Deno.Command(program, {
      args,
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#console = this.#machine.stdin.getWriter();
    const { stdout, stderr } = this.#machine;
    this.#copy = Promise.all([stdout, stderr].map((stream) => this.#read(stream))).then(() => {
      this.#ended = true;
    });
    await this.#shows(/the device is up/);
  }

  /** Runs a command line on the device; returns what it printed. */
  async run(command: string): Promise<string> {
    const mark = `end ${++this.#commands}`, from = this.output.length;
    await this.#console!.write(new TextEncoder().encode(`${command}\necho "${mark}"\n`));
    await this.#shows(new RegExp(`${mark}\r?\n`), from);
    return this.output.slice(from, this.output.lastIndexOf(mark));
  }

  /** Polls until a command prints what matches. */
  shows(pattern: RegExp, command: string): Promise<void> {
    return showsOn((line) => this.run(line), pattern, command, this.#how.limitMs);
  }

  /** Cuts the power: nothing is flushed, nobody is told. */
  async cutPower(): Promise<void> {
    if (this.#machine === undefined) return;
    if (!this.#ended) signalled(this.#machine, "SIGKILL");
    await this.#machine.status;
    await this.#console?.abort().catch(() => {});
    await this.#copy;
    this.#machine = undefined;
  }

  async #shows(pattern: RegExp, from = 0): Promise<void> {
    const seen = () => this.output.slice(from);
    await eventually(
      `the console shows ${pattern}`,
      () => {
        if (this.#ended) throw new Error(`the machine went off without showing ${pattern}:\n${this.output}`);
        return Promise.resolve(pattern.test(seen()));
      },
      seen,
      this.#how.limitMs,
    );
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.output += text;
  }
}

/** Polls until a command that `run` runs prints what matches. */
export async function showsOn(
  run: (command: string) => Promise<string>,
  pattern: RegExp,
  command: string,
  limitMs: number,
): Promise<void> {
  let last = "";
  const matches = async () => pattern.test(last = await run(command));
  await eventually(`${command} shows ${pattern}`, matches, () => last, limitMs);
}
