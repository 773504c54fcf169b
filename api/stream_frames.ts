/**
 * The frames between a client and an agent: those of Docker's multiplexed streams, and one more kind for what is said beside the
 * data. Both ends check them: either may be anybody's program.
 *
 *     kind, three zeros, the length in four bytes, the payload
 */
import { ByteQueue } from "./byte_queue.ts";
import { CoveyError } from "./errors.ts";
import { MAX_STREAM_PIECE_BYTES, MAX_TERMINAL_SIZE, type TerminalSize } from "./streams.ts";

/** To the task: its input. A frame without a byte is its end. */
const INPUT = 0;
/** From the task: its output, or what its connection says; its errors. A frame without a byte is an end. */
const OUTPUT = 1, ERRORS = 2;
/** What is said beside it, as JSON. */
const CONTROL = 3;

const HEADER_BYTES = 8;
/** Bytes of what is said beside the data: an error's message. */
const MAX_CONTROL_BYTES = 8 * 1024;
/** Most bytes of a frame's payload, so that with its header it is one piece. */
export const MAX_FRAME_PAYLOAD = MAX_STREAM_PIECE_BYTES - HEADER_BYTES;
/** Signals that a client may send. */
const STREAM_SIGNALS = ["HUP", "INT", "QUIT", "TERM", "KILL", "USR1", "USR2"] as const;

/** A signal by its name, without `SIG`. */
export type StreamSignal = typeof STREAM_SIGNALS[number];

/** What a client says beside its data. */
export type ToTask = { Resize: TerminalSize } | { Signal: StreamSignal };

/** What an agent says: it works, how a command ended, or why it does not go on. */
export type FromTask = { Started: true } | { Exit: { Code: number; Reason?: string } } | { Error: string };

/** A frame to a task. */
export type InputFrame = { kind: "input"; data: Uint8Array } | { kind: "control"; control: ToTask };

/** A frame from a task. */
export type OutputFrame =
  | { kind: "output" | "errors"; data: Uint8Array }
  | { kind: "control"; control: FromTask };

function* framed(kind: number, payload: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at === 0 || at < payload.length; at += MAX_FRAME_PAYLOAD) {
    const part = payload.subarray(at, at + MAX_FRAME_PAYLOAD),
      frame = new Uint8Array(HEADER_BYTES + part.length);
    frame[0] = kind;
    new DataView(frame.buffer).setUint32(4, part.length);
    frame.set(part, HEADER_BYTES);
    yield frame;
  }
}

function control(what: ToTask | FromTask): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(what));
  if (text.length <= MAX_CONTROL_BYTES) return framed(CONTROL, text).next().value!;
  const { Error: message } = what as { Error: string };
  return control({ Error: message.slice(0, MAX_CONTROL_BYTES / 8) });
}

/** Frames with input, a piece each; none of a byte is the end. */
export function inputFrames(data: Uint8Array): Iterable<Uint8Array> {
  return framed(INPUT, data);
}

/** Frames with output. */
export function outputFrames(kind: "output" | "errors", data: Uint8Array): Iterable<Uint8Array> {
  return framed(kind === "output" ? OUTPUT : ERRORS, data);
}

/** A frame with what a client says. */
export function toTask(what: ToTask): Uint8Array {
  return control(what);
}

/** A frame with what an agent says. */
export function fromTask(what: FromTask): Uint8Array {
  return control(what);
}

/** Reads what a client sent. Throws `invalid_argument` for what is no such frame, `data_loss` for half of one. */
export async function* readInput(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<InputFrame> {
  for await (const { kind, payload } of read(pieces)) {
    if (kind === INPUT) yield { kind: "input", data: payload };
    else if (kind === CONTROL) yield { kind: "control", control: checkToTask(parsed(payload)) };
    else throw malformed(`a client does not send kind ${kind}`);
  }
}

/** Reads what an agent sent. Throws as {@linkcode readInput}. */
export async function* readOutput(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<OutputFrame> {
  for await (const { kind, payload } of read(pieces)) {
    if (kind === OUTPUT) yield { kind: "output", data: payload };
    else if (kind === ERRORS) yield { kind: "errors", data: payload };
    else if (kind === CONTROL) yield { kind: "control", control: checkFromTask(parsed(payload)) };
    else throw malformed(`an agent does not send kind ${kind}`);
  }
}

async function* read(pieces: AsyncIterable<Uint8Array>) {
  const queue = new ByteQueue(pieces);
  while (!await queue.ended()) {
    const header = await queue.take(HEADER_BYTES), kind = header[0]!;
    if (header.length < HEADER_BYTES) throw broken();
    const length = new DataView(header.buffer).getUint32(4);
    if (kind > CONTROL || header[1] || header[2] || header[3]) throw malformed("its header is none");
    const most = kind === CONTROL ? MAX_CONTROL_BYTES : MAX_FRAME_PAYLOAD;
    if (length > most) throw malformed(`it has ${length} bytes, more than ${most}`);
    const payload = await queue.take(length);
    if (payload.length < length) throw broken();
    yield { kind, payload };
  }
}

function parsed(payload: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // As for other values that are no objects.
  }
  throw malformed("what is said in it is no object of JSON");
}

function checkToTask({ Resize, Signal }: Record<string, unknown>): ToTask {
  if (STREAM_SIGNALS.includes(Signal as StreamSignal)) return { Signal: Signal as StreamSignal };
  const { Height, Width } = (Resize ?? {}) as Partial<TerminalSize>;
  if (isSize(Height) && isSize(Width)) return { Resize: { Height, Width } };
  throw malformed("it says neither a signal nor a size");
}

function checkFromTask({ Started, Exit, Error: message }: Record<string, unknown>): FromTask {
  if (Started === true) return { Started };
  if (typeof message === "string") return { Error: message };
  const { Code, Reason } = (Exit ?? {}) as { Code?: unknown; Reason?: unknown };
  if (typeof Code === "number" && Number.isInteger(Code) && Code >= 0 && Code <= 255) {
    return { Exit: { Code, ...(typeof Reason === "string" && { Reason }) } };
  }
  throw malformed("it says nothing that is known");
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_TERMINAL_SIZE;
}

function malformed(what: string): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read a frame of the stream: ${what}`);
}

function broken(): CoveyError {
  return new CoveyError("data_loss", "Cannot read the stream: it broke off in the middle of a frame");
}
