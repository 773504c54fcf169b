/** Reads what a program has printed from the files of its log, in the order of times, and goes on with what it prints. */
import { type LogStream, logTime, MAX_LOG_LINE_BYTES } from "../../api/logs.ts";
import { orAbort } from "../../api/or_abort.ts";
import type { LogRequest, LogStep } from "../executor.ts";
import type { KeptLog, LogKeeper } from "./log_keeper.ts";

type Entry = Exclude<LogStep, string>;

/** Read at once: twice the longest entry. */
const READ_BYTES = 2 * MAX_LOG_LINE_BYTES;
const LINE_FEED = 10;

/** The name of the file in which a stream of a task is; no ID has the sign in it that tells them apart. */
export function logName(id: string, stream: LogStream): string {
  return stream === "stdout" ? `${id}.log` : `${id}+err.log`;
}

/** What a reader works with. */
export interface LogFiles {
  keeper: LogKeeper;
  /** Whether the program has ended. */
  hasEnded: () => Promise<boolean>;
  /** Calls `wake` when it may have ended. Returns how to stop that. */
  onEnd: (wake: () => void) => () => void;
}

/** The log of one task; see `LogSource.logs`. */
export async function* readLog(
  files: LogFiles,
  id: string,
  { streams, follow, tail, since = "", after = "" }: LogRequest,
  signal: AbortSignal,
): AsyncGenerator<LogStep> {
  const wanted = ({ Time }: Entry) => Time >= since && Time > after;
  // Who has ended has printed all: a line without an end is one.
  const whole = !follow || await files.hasEnded();
  const ends = await Promise.all(streams.map((stream) => files.keeper.look(logName(id, stream))))
    .then((logs) => logs.map((log) => log?.times.state.end ?? 0));
  const cursors = () => streams.map((stream, i) => new Cursor(files.keeper, id, stream, ends[i]!));
  let skip = 0;
  if (tail !== undefined) {
    let count = 0;
    for await (const entry of merged(cursors(), whole)) if (wanted(entry)) count++;
    skip = Math.max(0, count - tail);
  }
  const open = cursors();
  for await (const entry of merged(open, whole)) {
    signal.throwIfAborted();
    if (wanted(entry) && skip-- <= 0) yield entry;
  }
  yield "caught up";
  if (!whole) yield* followed(files, open, signal);
}

async function* followed(
  { keeper, hasEnded, onEnd }: LogFiles,
  cursors: Cursor[],
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  let news = Promise.withResolvers<void>();
  const wake = () => news.resolve();
  const stops = cursors.map(({ name }) => keeper.listen(name, wake)).concat(onEnd(wake));
  for (const cursor of cursors) cursor.goOn();
  try {
    while (true) {
      news = Promise.withResolvers();
      const ended = await hasEnded();
      if (ended) { for (const { name } of cursors) await keeper.look(name); }
      yield* merged(cursors, ended);
      if (ended) return;
      await orAbort(news.promise, signal);
    }
  } finally {
    for (const stop of stops) stop();
  }
}

/** The entries of all, as far as they are whole; with `rest` also what is left without an end. */
async function* merged(cursors: Cursor[], rest: boolean): AsyncGenerator<Entry> {
  const heads = await Promise.all(cursors.map((cursor) => cursor.next(rest)));
  while (true) {
    let first = -1;
    heads.forEach((head, i) => {
      if (head && (first < 0 || head.Time < heads[first]!.Time)) first = i;
    });
    if (first < 0) return;
    yield heads[first]!;
    heads[first] = await cursors[first]!.next(rest);
  }
}

/** A place in one stream of a log. */
class Cursor {
  readonly name: string;
  readonly #keeper: LogKeeper;
  readonly #stream: LogStream;
  /** Up to where it reads; the log's end, as far as it is known, if undefined. */
  #until: number | undefined;
  #log: KeptLog | undefined;
  /** Where `#rest` begins; undefined before anything was read. */
  #at: number | undefined;
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array();
  #gap: Entry | undefined;

  constructor(keeper: LogKeeper, id: string, stream: LogStream, until: number) {
    this.#keeper = keeper;
    this.name = logName(id, stream);
    this.#stream = stream;
    this.#until = until;
  }

  /** From now on it reads what is written, too. */
  goOn(): void {
    this.#until = undefined;
  }

  /** The next whole entry, or a gap; with `rest` also what is left without an end. Undefined if there is none yet. */
  async next(rest: boolean): Promise<Entry | undefined> {
    while (true) {
      const gap = this.#gap;
      this.#gap = undefined;
      const ready = gap ?? this.#cut();
      if (ready) return ready;
      if (!await this.#read()) break;
    }
    return rest && this.#rest.length > 0 ? this.#entry(this.#rest.length) : undefined;
  }

  /** A line with its end from what was read, or a piece of the longest size. */
  #cut(): Entry | undefined {
    const end = this.#rest.subarray(0, MAX_LOG_LINE_BYTES).indexOf(LINE_FEED);
    if (end >= 0) return this.#entry(end + 1);
    return this.#rest.length >= MAX_LOG_LINE_BYTES ? this.#entry(MAX_LOG_LINE_BYTES) : undefined;
  }

  #entry(length: number): Entry {
    const Data = this.#rest.slice(0, length), Time = logTime(this.#log!.times.timeOf(this.#at!));
    this.#rest = this.#rest.subarray(length);
    this.#at! += length;
    return { Stream: this.#stream, Time, Data };
  }

  /** Reads on; false if nothing is there. */
  async #read(): Promise<boolean> {
    if (this.#until === 0) return false;
    const log = this.#log ??= await this.#keeper.look(this.name);
    if (!log) return false;
    return await this.#keeper.whileStill(this.name, async () => {
      const { oldFrom, base, end } = log.times.state, limit = Math.min(end, this.#until ?? end);
      this.#at ??= oldFrom;
      // What was rotated away before it was read.
      if (this.#at < oldFrom) return this.#lose(oldFrom - this.#at);
      const from = this.#at + this.#rest.length;
      if (from >= limit) return false;
      const isOld = from < base, until = Math.min(isOld ? base : limit, limit, from + READ_BYTES);
      const path = isOld ? `${log.path}.1` : log.path;
      const bytes = await readAt(path, from - (isOld ? oldFrom : base), until - from);
      // Cut off by somebody else: what was seen to be there is lost.
      if (bytes.length === 0) return this.#lose(until - this.#at);
      const all = new Uint8Array(this.#rest.length + bytes.length);
      all.set(this.#rest);
      all.set(bytes, this.#rest.length);
      this.#rest = all;
      return true;
    });
  }

  #lose(Lost: number): true {
    this.#at! += Lost;
    this.#rest = new Uint8Array();
    const Time = logTime(this.#log!.times.timeOf(this.#at!));
    this.#gap = { Stream: this.#stream, Time, Data: new Uint8Array(), Lost };
    return true;
  }
}

async function readAt(path: string, offset: number, length: number): Promise<Uint8Array> {
  try {
    using file = await Deno.open(path);
    await file.seek(offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const count = await file.read(bytes.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array();
    throw error;
  }
}
