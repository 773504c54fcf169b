/**
 * Reaches ports of tasks from inside the agent's sandbox, which leads to no such place: the shim starts a small program for
 * each port, for as long as somebody uses it, and connections to that go through a socket.
 */
import { type CancelTimer, type Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { orAbort } from "../api/or_abort.ts";
import type { InputFrame, OutputFrame } from "../api/stream_frames.ts";
import type { Task } from "../api/task.ts";
import { framesFrom, serviceOf } from "./task_stream.ts";

/** Ports of one runtime that are reached at once, each by a program of 40 MB; `launch.sh` opens the sandbox for so many. */
const MAX_PORTS = 2;
/** How long such a program waits for the next connection. */
const IDLE_MS = 15_000;
/** Its start on a slow device. */
const START_MS = 30_000;
/** Longest first line of the shim's, and longest reason that a port is not reached. */
const MAX_ANSWER_BYTES = 4096;

/** What it works with. */
export interface PortConnectorOptions {
  /** Absolute path of `shim.sh`. */
  shim: string;
  /** Folder of the executor's own, in which `forward/SLOT/s` are the sockets. */
  stateDir: string;
  clock: Clock;
}

interface Port {
  slot: number;
  child: Deno.ChildProcess;
  ready: Promise<void>;
  users: number;
  cancelIdle: CancelTimer;
}

/** The ports of one executor's tasks. */
export class PortConnector {
  readonly #options: PortConnectorOptions;
  readonly #ports = new Map<string, Port>();

  constructor(options: PortConnectorOptions) {
    this.#options = options;
  }

  /** One connection to `port` of the task, which `target` names to the shim; see `TaskEnterer.enter`. */
  async *forward(
    task: Task,
    port: number,
    target: readonly string[],
    input: AsyncIterable<InputFrame>,
    signal: AbortSignal,
  ): AsyncGenerator<OutputFrame, void> {
    const key = [port, ...target].join(" ");
    const found = this.#ports.get(key) ?? this.#start(key, [String(port), serviceOf(task), ...target]);
    found.cancelIdle();
    found.users++;
    let connection: Deno.UnixConn | undefined;
    const end = () => connection && close(connection);
    signal.addEventListener("abort", end);
    try {
      await orAbort(found.ready, signal);
      const path = `${this.#options.stateDir}/forward/${found.slot}/s`;
      connection = await Deno.connect({ transport: "unix", path });
      await checkReached(connection, port);
      signal.throwIfAborted();
      yield { kind: "control", control: { Started: true } };
      const feeding = feed(connection, input);
      feeding.catch(end);
      yield* framesFrom(connection, "output");
      yield { kind: "output", data: new Uint8Array() };
      // The other half may go on.
      await orAbort(feeding, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      throw thrown;
    } finally {
      signal.removeEventListener("abort", end);
      end();
      this.#leave(key, found);
    }
  }

  /** Ends the programs. */
  async close(): Promise<void> {
    const ports = [...this.#ports.values()];
    for (const [key, port] of this.#ports) this.#end(key, port);
    await Promise.all(ports.map(({ child }) => child.status));
  }

  #start(key: string, words: string[]): Port {
    const taken = new Set([...this.#ports.values()].map(({ slot }) => slot));
    const slot = [...Array(MAX_PORTS).keys()].find((each) => !taken.has(each));
    if (slot === undefined) {
      const message =
        `Cannot forward a port: ${taken.size} of this runtime are forwarded here already, the limit`;
      throw new CoveyError("resource_exhausted", message, { retryable: true });
    }
    const { shim, stateDir, clock } = this.#options;
    const args = ["connect", stateDir, String(slot), Deno.execPath(), ...words];
    let child: Deno.ChildProcess;
    try {
      child = new Deno.Command(shim, {
        args,
        clearEnv: true,
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
      }).spawn();
    } catch (cause) {
      throw new CoveyError("unavailable", `Cannot run ${shim}: ${CoveyError.from(cause).message}`, { cause });
    }
    const late = clock.setTimer(START_MS, () => this.#end(key, port));
    const ready = untilReady(child).finally(late);
    const port: Port = { slot, child, ready, users: 0, cancelIdle: () => {} };
    ready.catch(() => this.#end(key, port));
    void child.status.then(() => this.#forget(key, port));
    this.#ports.set(key, port);
    return port;
  }

  #leave(key: string, port: Port): void {
    if (--port.users > 0 || this.#ports.get(key) !== port) return;
    port.cancelIdle = this.#options.clock.setTimer(IDLE_MS, () => this.#end(key, port));
  }

  /** Its standard input is what it lives by. */
  #end(key: string, port: Port): void {
    this.#forget(key, port);
    void port.child.stdin.close().catch(() => {});
  }

  #forget(key: string, port: Port): void {
    port.cancelIdle();
    if (this.#ports.get(key) === port) this.#ports.delete(key);
  }
}

/** Resolves when the shim's program listens. Rejects with what the shim says. */
async function untilReady(child: Deno.ChildProcess): Promise<void> {
  const reader = child.stdout.getReader(), decoder = new TextDecoder();
  let said = "";
  try {
    while (!said.includes("\n") && said.length < MAX_ANSWER_BYTES) {
      const { done, value } = await reader.read();
      if (done) break;
      said += decoder.decode(value, { stream: true });
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
  const line = said.split("\n", 1)[0]!;
  if (line === "ready") return;
  const [, field, message] = /^connect refused (\S+) (.*)$/.exec(line) ?? [];
  const what = field === undefined
    ? "what connects to it does not start; its user has to get through to the agent's state folder"
    : field === "Task"
    ? message
    : `${field}: ${message}`;
  throw new CoveyError(
    field === "Task" ? "permission_denied" : "failed_precondition",
    `Cannot forward the port: ${what}`,
  );
}

async function checkReached(connection: Deno.UnixConn, port: number): Promise<void> {
  const first = new Uint8Array(1), count = await connection.read(first);
  if (count === 1 && first[0] === 0x2b) return;
  const buffer = new Uint8Array(MAX_ANSWER_BYTES);
  const read = count === null ? null : await connection.read(buffer).catch(() => null);
  const why = read === null ? "the connection broke" : new TextDecoder().decode(buffer.subarray(0, read));
  throw new CoveyError("unavailable", `Cannot reach port ${port} of the task: ${why}`);
}

/** Until the end of what is put in. */
async function feed(connection: Deno.UnixConn, input: AsyncIterable<InputFrame>): Promise<void> {
  for await (const frame of input) {
    if (frame.kind !== "input") throw new CoveyError("invalid_argument", "Cannot forward what is no data");
    if (frame.data.length === 0) return await connection.closeWrite();
    for (let at = 0; at < frame.data.length;) at += await connection.write(frame.data.subarray(at));
  }
}

function close(connection: Deno.UnixConn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
