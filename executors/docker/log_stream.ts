/** A container's log as the engine gives it (`/containers/{id}/logs`), entry by entry. */
import { ByteQueue } from "../../api/byte_queue.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import type { Clock } from "../../api/clock.ts";
import {
  fullTime,
  type LogEntry,
  logTime,
  MAX_LOG_DETAILS,
  MAX_LOG_LINE_BYTES,
  secondsOf,
} from "../../api/logs.ts";
import type { LogRequest, LogStep } from "../executor.ts";
import type { EngineClient, Query } from "./engine_client.ts";

type Entry = Omit<LogEntry, "TaskID">;

/** Bytes of one frame of the engine's: an entry with its time and details. */
const MAX_FRAME_BYTES = 1024 * 1024;
/** Bytes of a line's head in which the time and the details stand. */
const MAX_HEAD_BYTES = 64 * 1024;
const HEADER_BYTES = 8;
/** How much later than it was stamped an engine may have written an entry: far more than a busy one takes. */
const STAMPED_LATE_MS = 1_000;
const LINE_FEED = 10, BLANK = 32;

/**
 * The log of container `id`. The engine does not tell where in a followed log the past ends, so that is read first, and what
 * follows it then.
 */
export async function* containerLog(
  engine: EngineClient,
  id: string,
  request: LogRequest,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<LogStep> {
  const terminal = await hasTerminal(engine, id, signal);
  if (terminal === undefined) return void (yield "caught up");
  const { streams, follow, tail, since, after } = request;
  const read = (query: Query) => entriesOf(engine, id, terminal, { ...queryOf(streams), ...query }, signal);
  const asked = logTime(clock.now());
  const from = [since, after].filter((time) => time !== undefined).toSorted().at(-1);
  const place = new Place(after);
  for await (const entry of read({ tail: String(tail ?? "all"), since: from && secondsOf(from) })) {
    if (place.pass(entry)) yield entry;
  }
  yield "caught up";
  if (!follow) return;
  // Where it was cut, what is older than the first that was given was left out; else all was given that there was.
  const floor = tail === undefined || place.given < tail ? from ?? "" : place.first ?? asked;
  const again = place.last === undefined ? floor : earlier(place.last, STAMPED_LATE_MS);
  const start = again > floor ? again : floor, goOn = place.goOn();
  for await (const entry of read({ follow: "1", since: start === "" ? undefined : secondsOf(start) })) {
    if (entry.Time >= floor && goOn.pass(entry)) yield entry;
  }
}

/**
 * How far a log was given, for each stream. An engine writes entries of two streams as it gets to them, each with the time
 * when it was read: a later one may stand before an earlier one of the other stream. Of one stream they are in order, and
 * those with the same time are pieces of one line.
 */
class Place {
  readonly #streams = new Map<string, { Time: string; count: number }>();
  readonly #skip: ReadonlyMap<string, { Time: string; count: number }>;
  readonly #met = new Map<string, number>();
  readonly #after: string;
  given = 0;
  /** Times of the first that was given, and of the latest. */
  first: string | undefined;
  last: string | undefined;

  /** Nothing up to `after`, and nothing that an earlier reading has given. */
  constructor(after = "", earlier: Place | undefined = undefined) {
    this.#after = after;
    this.#skip = earlier ? earlier.#streams : new Map();
  }

  /** For another reading that goes on where this one has ended. */
  goOn(): Place {
    return new Place(this.#after, this);
  }

  /** Whether an entry was not given yet; now it is. */
  pass({ Stream, Time }: Entry): boolean {
    if (Time <= this.#after) return false;
    const skip = this.#skip.get(Stream);
    if (skip && Time < skip.Time) return false;
    if (skip && Time === skip.Time) {
      const met = (this.#met.get(Stream) ?? 0) + 1;
      this.#met.set(Stream, met);
      if (met <= skip.count) return false;
    }
    const so = this.#streams.get(Stream);
    this.#streams.set(Stream, { Time, count: so?.Time === Time ? so.count + 1 : 1 });
    this.given++;
    this.first ??= Time;
    if (this.last === undefined || Time > this.last) this.last = Time;
    return true;
  }
}

/** A time so many milliseconds before another. */
function earlier(time: string, ms: number): string {
  return logTime(Date.parse(`${time.slice(0, 23)}Z`) - ms);
}

function queryOf(streams: LogRequest["streams"]): Query {
  const chosen = Object.fromEntries(streams.map((stream) => [stream, "1"]));
  return { ...chosen, timestamps: "1", details: "1" };
}

/** Whether the container has a terminal, of which everything comes as one stream; undefined if there is no such container. */
async function hasTerminal(
  engine: EngineClient,
  id: string,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  try {
    const { Config } = await engine.call<{ Config: { Tty?: boolean } }>("GET", `/containers/${id}/json`, {
      signal,
    });
    return Config.Tty ?? false;
  } catch (thrown) {
    if (hasCode(thrown, "not_found")) return undefined;
    throw thrown;
  }
}

async function* entriesOf(
  engine: EngineClient,
  id: string,
  terminal: boolean,
  query: Query,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  const pieces = engine.bytes("GET", `/containers/${id}/logs`, { query, signal });
  if (terminal) {
    for await (const line of linesOf(pieces)) yield* entry("stdout", line);
    return;
  }
  for await (const [stream, text] of framesOf(pieces)) yield* entry(stream, text);
}

/** The engine's frames: which stream, three zeros, the length, and the entry. */
async function* framesOf(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<[LogEntry["Stream"], Uint8Array]> {
  const queue = new ByteQueue(pieces);
  while (!await queue.ended()) {
    const header = await queue.take(HEADER_BYTES);
    if (header.length < HEADER_BYTES) return;
    const length = new DataView(header.buffer).getUint32(4);
    if (length > MAX_FRAME_BYTES || header[0]! > 2) {
      throw new CoveyError("internal", "Cannot read the container's log: the engine's frames are malformed");
    }
    const text = await queue.take(length);
    if (text.length < length) return;
    yield [header[0] === 2 ? "stderr" : "stdout", text];
  }
}

/** Lines with their ends; what is too long comes in pieces, of which only the first has a time. */
async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest = new Uint8Array();
  for await (const piece of pieces) {
    let bytes = joined(rest, piece);
    for (let end; (end = bytes.indexOf(LINE_FEED)) >= 0; bytes = bytes.slice(end + 1)) {
      yield bytes.subarray(0, end + 1);
    }
    if (bytes.length > MAX_FRAME_BYTES) {
      throw new CoveyError("internal", "Cannot read the container's log: a line has no end");
    }
    rest = bytes;
  }
  if (rest.length > 0) yield rest;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** `TIME DETAILS TEXT`, in pieces of the size that travels. */
function* entry(Stream: LogEntry["Stream"], line: Uint8Array): Generator<Entry> {
  const head = new TextDecoder().decode(line.subarray(0, MAX_HEAD_BYTES));
  const Time = fullTime(head.slice(0, head.indexOf(" ")));
  if (Time === undefined) return;
  const detailsAt = line.indexOf(BLANK) + 1, textAt = line.indexOf(BLANK, detailsAt) + 1;
  if (textAt === 0) return;
  const Details = detailsOf(new TextDecoder().decode(line.subarray(detailsAt, textAt - 1)));
  // An empty line is one, too.
  for (let at = textAt, first = true; first || at < line.length; at += MAX_LOG_LINE_BYTES, first = false) {
    const Data = line.slice(at, at + MAX_LOG_LINE_BYTES);
    yield { Stream, Time, Data, ...(Details && { Details }) };
  }
}

/** `a=b,c=d`, each as in a URL. */
function detailsOf(text: string): Record<string, string> | undefined {
  const pairs = text.split(",").filter((pair) => pair.includes("=")).slice(0, MAX_LOG_DETAILS);
  const plain = (part: string) => new URLSearchParams(`x=${part}`).get("x") ?? "";
  const named = pairs.map((pair) => {
    const at = pair.indexOf("=");
    return [plain(pair.slice(0, at)), plain(pair.slice(at + 1))] as const;
  });
  return named.length === 0 ? undefined : Object.fromEntries(named);
}
