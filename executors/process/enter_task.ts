/** Runs something inside of a task that is a program of the device: the shim becomes it, and its pipes lead here. */
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { orAbort } from "../../api/or_abort.ts";
import type { InputFrame, OutputFrame, StreamSignal } from "../../api/stream_frames.ts";
import type { CopyUse, ExecUse, TerminalSize } from "../../api/streams.ts";
import type { Task } from "../../api/task.ts";
import { askShim } from "../ask_shim.ts";
import { framesFrom, merged, serviceOf } from "../task_stream.ts";
import type { ShimRequest } from "./process_spec.ts";
import { encodeRequest } from "./shim.ts";

/** Longest first line of the shim's: a refusal is cut there. */
const MAX_ANSWER_BYTES = 8 * 1024;
/** How long what a program left behind may hold its output open after it has ended. */
const LINGER_MS = 500;
/** Between the hang-up that its end begins with, and the kill. */
const HANG_UP_MS = 2_000;
/** What a shell makes of an end by a signal. */
const SIGNAL_EXIT = 128;

/** What entering takes. */
export interface EnterOptions {
  /** Absolute path of `shim.sh`. */
  shim: string;
  stateDir: string;
  clock: Clock;
}

/** See `TaskEnterer.enter`. `request` is what the task itself was started with. */
export async function* enterTask(
  options: EnterOptions,
  task: Task,
  request: ShimRequest,
  use: ExecUse | CopyUse,
  input: AsyncIterable<InputFrame>,
  signal: AbortSignal,
): AsyncGenerator<OutputFrame, void> {
  const program = new InsideProgram(options, task.ID);
  try {
    await program.start(headOf(task, request, use), signal);
    yield { kind: "control", control: { Started: true } };
    if (use.Kind === "exec" && use.Detach) return program.detach();
    const feeding = feed(program, input, signal);
    yield* program.output(feeding, signal);
    yield { kind: "control", control: { Exit: await program.exit() } };
  } finally {
    await program.end();
  }
}

/** What the shim reads before the program's input. */
function headOf(task: Task, own: ShimRequest, use: ExecUse | CopyUse): string {
  const command = use.Kind === "exec" ? use.Command : ["tar", use.Path];
  const kind = use.Kind === "copy"
    ? (use.Write ? "copy-to" : "copy-from")
    : (use.Detach ? "exec-alone" : "exec");
  const { Height, Width } = use.Kind === "exec" && use.Terminal ? use.Terminal : { Height: "-", Width: "-" };
  const [separators, ...lines] = encodeRequest({ ...own, command, grants: "" }).split("\n");
  const first = `${task.ID} ${kind} ${separators} ${Height} ${Width} ${serviceOf(task)}`;
  return [first, ...lines].map((line) => `${line}\n`).join("");
}

/** Puts in what comes. Rejects where that is no input; a program that takes no more is no failure. */
async function feed(
  program: InsideProgram,
  input: AsyncIterable<InputFrame>,
  signal: AbortSignal,
): Promise<void> {
  for await (const frame of input) {
    if (signal.aborted) return;
    if (frame.kind === "input") await program.put(frame.data);
    else if ("Resize" in frame.control) await program.resize(frame.control.Resize);
    else await program.signal(frame.control.Signal);
  }
}

/** The process that the shim becomes. */
class InsideProgram {
  readonly #options: EnterOptions;
  readonly #taskID: string;
  #child: Deno.ChildProcess | undefined;
  #input: WritableStreamDefaultWriter<Uint8Array> | undefined;
  /** Of its output, what came with the shim's answer. */
  #rest = new Uint8Array();
  #output: Pipe | undefined;
  #errors: Pipe | undefined;
  #isOver = false;

  constructor(options: EnterOptions, taskID: string) {
    this.#options = options;
    this.#taskID = taskID;
  }

  /** Throws with the field of what the device does not let in. */
  async start(head: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { shim, stateDir } = this.#options;
    const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    try {
      this.#child = new Deno.Command(shim, { args: ["enter", stateDir], clearEnv: true, ...pipes }).spawn();
    } catch (cause) {
      throw new CoveyError("unavailable", `Cannot run ${shim}: ${CoveyError.from(cause).message}`, { cause });
    }
    void this.#child.status.then(() => this.#isOver = true);
    this.#input = this.#child.stdin.getWriter();
    this.#output = new Pipe(this.#child.stdout);
    this.#errors = new Pipe(this.#child.stderr);
    await this.#write(new TextEncoder().encode(head));
    const answer = await orAbort(this.#answer(), signal);
    if (/^enter started \d+$/.test(answer)) return;
    const [, field, message] = /^enter refused (\S+) (.*)$/.exec(answer) ?? [];
    throw new CoveyError(
      field === undefined ? "internal" : field === "Task" ? "permission_denied" : "failed_precondition",
      field === undefined
        ? `Cannot enter the task: the shim answered ${JSON.stringify(answer)}`
        : `Cannot enter the task: ${field}: ${message}`,
    );
  }

  async #answer(): Promise<string> {
    const buffer = new Uint8Array(MAX_ANSWER_BYTES);
    let bytes = new Uint8Array();
    while (bytes.length < MAX_ANSWER_BYTES) {
      const count = await this.#output!.read(buffer);
      if (count === null) break;
      bytes = new Uint8Array([...bytes, ...buffer.subarray(0, count)]);
      const end = bytes.indexOf(10);
      if (end < 0) continue;
      this.#rest = bytes.slice(end + 1);
      return new TextDecoder().decode(bytes.subarray(0, end));
    }
    return new TextDecoder().decode(bytes);
  }

  /** All that it prints, until it has ended. */
  async *output(feeding: Promise<void>, signal: AbortSignal): AsyncGenerator<OutputFrame, void> {
    if (this.#rest.length > 0) yield { kind: "output", data: this.#rest };
    const over = this.#whenOver(feeding, signal);
    over.catch(() => {});
    const frames = merged(framesFrom(this.#output!, "output"), framesFrom(this.#errors!, "errors"));
    while (true) {
      const next = await Promise.race([frames.next(), over]);
      if (next === undefined || next.done) break;
      yield next.value;
    }
  }

  /** Rejects as soon as it is to end; resolves a while after it has. */
  async #whenOver(feeding: Promise<void>, signal: AbortSignal): Promise<undefined> {
    const failed = new Promise<never>((_, reject) => feeding.catch(reject));
    await orAbort(Promise.race([this.#child!.status, failed]), signal);
    await sleep(this.#options.clock, LINGER_MS, signal);
  }

  async exit(): Promise<{ Code: number; Reason?: string }> {
    const { code, signal } = await this.#child!.status;
    if (signal === null) return { Code: code };
    return {
      Code: code > SIGNAL_EXIT ? code : SIGNAL_EXIT,
      Reason: `killed by signal ${signal.replace(/^SIG/, "")}`,
    };
  }

  /** Nothing without a byte is anything but the end. */
  async put(data: Uint8Array): Promise<void> {
    if (data.length > 0) return await this.#write(data);
    await this.#input!.close().catch(() => {});
  }

  async #write(data: Uint8Array): Promise<void> {
    // A program need not take what it is given.
    await this.#input!.write(data).catch(() => {});
  }

  async signal(name: StreamSignal): Promise<void> {
    await this.#ask("reach", name);
  }

  async resize({ Height, Width }: TerminalSize): Promise<void> {
    await this.#ask("resize", String(Height), String(Width));
  }

  async #ask(verb: string, ...words: string[]): Promise<void> {
    if (this.#isOver) return;
    const { shim, stateDir } = this.#options;
    await askShim(shim, [verb, stateDir, this.#taskID, String(this.#child!.pid), ...words]).catch(() => {});
  }

  /** It goes on, with nobody who reads or writes. */
  detach(): void {
    this.#isOver = true;
    void this.#input?.close().catch(() => {});
    this.#child?.unref();
  }

  /** Ends it with all that it started there, if it runs, and lets go of its pipes. */
  async end(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    if (!this.#isOver) {
      await this.signal("HUP");
      kill(child, "SIGHUP");
      await Promise.race([child.status, sleep(this.#options.clock, HANG_UP_MS)]);
      if (!this.#isOver) await this.signal("KILL");
      if (!this.#isOver) kill(child, "SIGKILL");
      await child.status;
    }
    await this.#input?.abort().catch(() => {});
    await Promise.all([this.#output?.close(), this.#errors?.close()]);
  }
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended.
  }
}

/** One of a child's outputs, read as far as is asked for. */
class Pipe {
  readonly #reader: ReadableStreamBYOBReader;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader({ mode: "byob" });
  }

  async read(into: Uint8Array): Promise<number | null> {
    const { done, value } = await this.#reader.read(new Uint8Array(into.length));
    if (done || value === undefined) return null;
    into.set(value);
    return value.length;
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }
}
