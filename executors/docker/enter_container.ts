/** Gets at the inside of a container through the engine: commands, and files. */
import { ByteQueue } from "../../api/byte_queue.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { type InputFrame, MAX_FRAME_PAYLOAD, type OutputFrame } from "../../api/stream_frames.ts";
import type { CopyUse, ExecUse, TerminalSize } from "../../api/streams.ts";
import { askShim } from "../ask_shim.ts";
import type { EngineClient } from "./engine_client.ts";
import { hijack, type Hijacked, upload } from "./engine_stream.ts";

const HEADER_BYTES = 8;
/** Bytes of one frame of the engine's: far more than it reads at once. */
const MAX_ENGINE_FRAME = 16 * 1024 * 1024;

/** An engine knows a moment later what a command's streams have shown: its process, and that it has ended. */
const LOOK_MS = 50, MAX_LOOKS = 100;

/** What entering takes. */
export interface EnterContainer {
  engine: EngineClient;
  clock: Clock;
  /** Absolute path of `shim.sh`: the engine ends no command by itself. */
  shim: string;
  containerID: string;
}

interface ExecInspect {
  Running: boolean;
  Pid: number;
  ExitCode: number | null;
}

/** Runs a command in the container; see `TaskEnterer.enter`. */
export async function* execInContainer(
  at: EnterContainer,
  { Command, Terminal, Detach: isAlone }: ExecUse,
  input: AsyncIterable<InputFrame>,
  signal: AbortSignal,
): AsyncGenerator<OutputFrame, void> {
  const { engine, containerID } = at, Detach = isAlone === true, attach = !Detach;
  const { Id } = await engine.call<{ Id: string }>("POST", `/containers/${containerID}/exec`, {
    body: { AttachStdin: attach, AttachStdout: attach, AttachStderr: attach, Tty: !!Terminal, Cmd: Command },
    signal,
  });
  const start = { Detach, Tty: !!Terminal };
  if (Detach) {
    await engine.call("POST", `/exec/${Id}/start`, { body: start, signal });
    return yield { kind: "control", control: { Started: true } };
  }
  const connection = await hijack(engine, `/exec/${Id}/start`, start);
  const end = () => connection.close();
  signal.addEventListener("abort", end);
  let isOver = false;
  try {
    signal.throwIfAborted();
    yield { kind: "control", control: { Started: true } };
    if (Terminal) await resize(at, Id, Terminal);
    const failed = Promise.withResolvers<never>();
    void feed(at, Id, connection, input).catch((thrown) => {
      failed.reject(thrown);
      end();
    });
    failed.promise.catch(() => {});
    yield* Terminal ? rawFrames(connection.pieces) : split(connection.pieces);
    signal.throwIfAborted();
    isOver = true;
    const ended = await lookUntil(at, Id, ({ Running }) => !Running, signal);
    yield { kind: "control", control: { Exit: { Code: (ended?.ExitCode ?? 0) & 255 } } };
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener("abort", end);
    end();
    if (!isOver) await strike(at, Id, "KILL");
  }
}

/** Copies files as the engine does, whatever programs the container has. */
export async function* copyOfContainer(
  { engine, containerID }: EnterContainer,
  { Path: path, Write }: CopyUse,
  input: AsyncIterable<InputFrame>,
  signal: AbortSignal,
): AsyncGenerator<OutputFrame, void> {
  const place = `/containers/${containerID}/archive`;
  yield { kind: "control", control: { Started: true } };
  if (Write) await upload(engine, place, { path }, dataOf(input), signal);
  else yield* rawFrames(engine.bytes("GET", place, { query: { path }, signal }));
  yield { kind: "control", control: { Exit: { Code: 0 } } };
}

async function* dataOf(input: AsyncIterable<InputFrame>): AsyncGenerator<Uint8Array, void> {
  for await (const frame of input) {
    if (frame.kind !== "input") continue;
    if (frame.data.length === 0) return;
    yield frame.data;
  }
}

async function feed(
  at: EnterContainer,
  execID: string,
  connection: Hijacked,
  input: AsyncIterable<InputFrame>,
): Promise<void> {
  for await (const frame of input) {
    if (frame.kind === "control") {
      if ("Resize" in frame.control) await resize(at, execID, frame.control.Resize);
      else await strike(at, execID, frame.control.Signal);
    } else if (frame.data.length > 0) await connection.write(frame.data).catch(() => {});
    else await connection.closeWrite().catch(() => {});
  }
}

/** A terminal that has gone by now has no size. */
async function resize(at: EnterContainer, execID: string, { Height, Width }: TerminalSize): Promise<void> {
  const query = { h: String(Height), w: String(Width) };
  if (!(await lookUntil(at, execID, isKnown))?.Running) return;
  await at.engine.call("POST", `/exec/${execID}/resize`, { query }).catch(() => {});
}

/** Signals the command, if it runs: by the shim, as the engine has no call for it. */
async function strike(at: EnterContainer, execID: string, name: string): Promise<void> {
  const found = await lookUntil(at, execID, isKnown);
  if (!found?.Running || !found.Pid) return;
  await askShim(at.shim, ["strike", at.containerID, String(found.Pid), name]).catch(() => {});
}

const isKnown = ({ Running, Pid }: ExecInspect) => !Running || Pid > 0;

/** What the engine says of a command once `isSo`, or at the last; undefined for one that it does not know any more. */
async function lookUntil(
  { engine, clock }: EnterContainer,
  execID: string,
  isSo: (found: ExecInspect) => boolean,
  signal?: AbortSignal,
): Promise<ExecInspect | undefined> {
  let found: ExecInspect | undefined;
  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    if (looks > 0) await sleep(clock, LOOK_MS, signal);
    try {
      found = await engine.call<ExecInspect>("GET", `/exec/${execID}/json`, { ...(signal && { signal }) });
    } catch (thrown) {
      signal?.throwIfAborted();
      if (hasCode(thrown, "not_found")) return undefined;
      continue;
    }
    if (isSo(found)) break;
  }
  return found;
}

async function* rawFrames(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<OutputFrame, void> {
  for await (const piece of pieces) yield { kind: "output", data: piece.slice() };
}

/** The engine's frames: which stream, three zeros, the length, and what was printed. */
async function* split(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<OutputFrame, void> {
  const queue = new ByteQueue(pieces);
  while (!await queue.ended()) {
    const header = await queue.take(HEADER_BYTES);
    if (header.length < HEADER_BYTES) return;
    let left = new DataView(header.buffer).getUint32(4);
    if (left > MAX_ENGINE_FRAME || header[0]! > 2) {
      throw new CoveyError(
        "internal",
        "Cannot read what the command prints: the engine's frames are malformed",
      );
    }
    while (left > 0) {
      const data = await queue.take(Math.min(left, MAX_FRAME_PAYLOAD));
      if (data.length === 0) return;
      left -= data.length;
      yield { kind: header[0] === 2 ? "errors" : "output", data };
    }
  }
}
