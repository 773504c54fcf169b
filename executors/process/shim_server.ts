/** The process in which `shim.sh serve` runs: started when it is first needed, and again after it has died. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";

/** An answer is one short line; more means that something else than our shim runs. */
const MAX_ANSWER_BYTES = 16 * 1024;
/** Bytes of answers taken at once. */
const READ_BYTES = 4096;
/** Nothing that is asked takes so long; a server that is stopped or hangs is replaced. */
const ANSWER_LIMIT_MS = 60_000;

interface Question {
  resolve: (answer: string) => void;
  reject: (error: CoveyError) => void;
  /** A refusal, delivered when its shim has let go of its files. */
  refusal?: string;
}

/** The server died, or was ended, before it answered: what was asked of it may have been done or not. */
export class ServerLost extends CoveyError {
  constructor() {
    super("unavailable", "Cannot tell: the shim's server ended before it answered");
  }
}

/** Sends questions and hands out the answers, which may come in any order. */
export class ShimServer {
  readonly #spawn: () => Deno.ChildProcess;
  readonly #clock: Clock;
  #running: RunningServer | undefined;

  /** `spawn` starts the shim with its input and output piped. */
  constructor(spawn: () => Deno.ChildProcess, clock: Clock) {
    this.#spawn = spawn;
    this.#clock = clock;
  }

  /**
   * The answer to `request`, whose first line is `verb rest`; the question's number comes between.
   *
   * @throws {ServerLost} without an answer
   */
  ask(verb: string, rest: string): Promise<string> {
    if (!this.#running) {
      this.#running = new RunningServer(this.#spawn(), this.#clock, () => this.#running = undefined);
    }
    return this.#running.ask(verb, rest);
  }

  /** Ends the server; its shims and their programs stay. */
  async close(): Promise<void> {
    await this.#running?.close();
  }
}

class RunningServer {
  readonly #child: Deno.ChildProcess;
  readonly #clock: Clock;
  readonly #onEnd: () => void;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamBYOBReader;
  readonly #questions = new Map<string, Question>();
  #asked = 0;
  /** Resolves when the process has ended and all was told. */
  readonly ended: Promise<void>;

  /** `onEnd` is called before those who wait hear of it, so that none of them asks it again. */
  constructor(child: Deno.ChildProcess, clock: Clock, onEnd: () => void) {
    this.#child = child;
    this.#clock = clock;
    this.#onEnd = onEnd;
    this.#input = child.stdin.getWriter();
    this.#output = child.stdout.getReader({ mode: "byob" });
    const reading = this.#read().catch(() => {}).then(() => this.#kill());
    this.ended = this.#finish(reading);
  }

  async ask(verb: string, rest: string): Promise<string> {
    const number = String(++this.#asked);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#questions.set(number, { resolve, reject });
    // A server that has died is noticed by its end.
    this.#input.write(new TextEncoder().encode(`${verb} ${number} ${rest}\n`)).catch(() => {});
    const cancel = this.#clock.setTimer(ANSWER_LIMIT_MS, () => this.#kill());
    try {
      return await promise;
    } finally {
      cancel();
    }
  }

  async close(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.ended;
  }

  #kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  /** Its shims hold the pipe open, so only its own end says that nothing comes any more. */
  async #finish(reading: Promise<void>): Promise<void> {
    await this.#child.status;
    await this.#output.cancel().catch(() => {});
    await reading;
    await this.#input.abort().catch(() => {});
    this.#onEnd();
    for (const { reject } of this.#questions.values()) reject(new ServerLost());
    this.#questions.clear();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let text = "", buffer = new Uint8Array(READ_BYTES);
    while (text.length < MAX_ANSWER_BYTES) {
      const { done, value } = await this.#output.read(buffer);
      if (done) return;
      const lines = (text + decoder.decode(value, { stream: true })).split("\n");
      text = lines.pop()!;
      for (const line of lines) this.#take(line);
      buffer = new Uint8Array(value.buffer);
    }
  }

  #take(line: string): void {
    const space = line.indexOf(" "), number = line.slice(0, space), answer = line.slice(space + 1);
    const question = this.#questions.get(number);
    if (!question) return;
    if (answer.startsWith("refused ")) return void (question.refusal = answer);
    this.#questions.delete(number);
    question.resolve(answer === "ended" ? question.refusal ?? answer : answer);
  }
}
