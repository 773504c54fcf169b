/**
 * Keeps programs' logs bounded, and knows when what stands in them was written. A program appends to its files itself, at
 * no cost to anybody; the keeper sleeps on a folder watch, so an idle device has no wakeups and no writes, and looks at the
 * sizes at most once in `LOOK_DELAY_MS` while something writes. A log holds at most `maxBytes` and what is written in that
 * time, plus one older file of that size. The bound holds while an agent runs, and again as soon as the next one does.
 */
import { getLogger } from "../../api/log.ts";
import { SayOnce } from "../../api/say_once.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { type LogState, LogTimes } from "./log_times.ts";

/** Size of a log before it becomes the older one; a task has two, so that ten tasks take 40 MiB. */
export const MAX_LOG_BYTES = 1024 * 1024;
/** All logs of one runtime together, but for what is written between two looks: each has an equal share, if that is less. */
const MAX_TOTAL_BYTES = 64 * 1024 * 1024;
/** With less a log says nothing: beyond 512 logs, they take more than that together. */
const MIN_LOG_BYTES = 64 * 1024;
/** Least time between two looks. */
const LOOK_DELAY_MS = 1000;
/** Pause after a look that failed. */
const RETRY_MS = 30_000;
/** A look may take this share of the time at most, whatever the number of logs. */
const LOOK_SHARE = 0.02;

const log = getLogger(["covey", "process"]);

/** One `*.log` file. */
export interface KeptLog {
  readonly path: string;
  readonly times: LogTimes;
}

interface Entry extends KeptLog {
  /** What is done to the files, one after the other: nobody reads while they are moved. */
  turn: Promise<unknown>;
  /** Nobody has looked at it yet, in this agent's time. */
  unseen: boolean;
  readers: Set<() => void>;
}

/** Bounds the `*.log` files of one folder. */
export class LogKeeper {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #maxTotalBytes: number;
  readonly #closed = new AbortController();
  readonly #said = new SayOnce();
  readonly #logs = new Map<string, Entry>();
  #restored: Promise<void> = Promise.resolve();
  #watcher: Deno.FsWatcher | undefined;
  #running: Promise<void> | undefined;

  constructor(
    dir: string,
    clock: Clock,
    maxBytes: number = MAX_LOG_BYTES,
    maxTotalBytes: number = MAX_TOTAL_BYTES,
  ) {
    this.#maxTotalBytes = maxTotalBytes;
    this.#dir = dir;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** Starts to keep the folder; calling it again does nothing. */
  open(): void {
    if (this.#running) return;
    this.#restored = this.#restore();
    this.#running = this.#restored.then(() => this.#run());
  }

  /** Keeps what is known of times for the next agent: the files do not say it. */
  async close(): Promise<void> {
    this.#closed.abort();
    this.#watcher?.close();
    if (!this.#running) return;
    await this.#running;
    const known = [...this.#logs].map(([name, { times }]) => [name, times.state] as const);
    if (known.length === 0) return;
    await Deno.writeTextFile(this.#timesPath, JSON.stringify(Object.fromEntries(known)), { mode: 0o600 })
      .catch((error) => log.warn("what the logs' times are is forgotten: {error}", { error }));
  }

  /** Looks at one log; undefined if there is none. */
  async look(name: string): Promise<KeptLog | undefined> {
    await this.#restored;
    try {
      return await this.#look(name);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Runs `read` while the log's files stay where they are. */
  async whileStill<T>(name: string, read: () => Promise<T>): Promise<T> {
    return await this.#inTurn(this.#entry(name), read);
  }

  /** Calls `wake` when there is more in the log, until it is told to stop by calling what is returned. */
  listen(name: string, wake: () => void): () => void {
    const { readers } = this.#entry(name);
    readers.add(wake);
    return () => void readers.delete(wake);
  }

  get #timesPath(): string {
    return `${this.#dir}_times.json`;
  }

  async #restore(): Promise<void> {
    const text = await Deno.readTextFile(this.#timesPath).catch(() => "{}");
    await Deno.remove(this.#timesPath).catch(() => {});
    for (const [name, state] of Object.entries(parseStates(text))) {
      if (!this.#logs.has(name)) this.#logs.set(name, this.#newEntry(name, state));
    }
  }

  #entry(name: string): Entry {
    const known = this.#logs.get(name);
    if (known) return known;
    const entry = this.#newEntry(name);
    this.#logs.set(name, entry);
    return entry;
  }

  #newEntry(name: string, state?: LogState): Entry {
    const path = `${this.#dir}/${name}`;
    return { path, times: new LogTimes(state), turn: Promise.resolve(), unseen: true, readers: new Set() };
  }

  async #inTurn<T>(entry: Entry, run: () => Promise<T>): Promise<T> {
    const turn = entry.turn.then(run);
    entry.turn = turn.catch(() => {});
    return await turn;
  }

  /** Never rejects: what the system refuses now, a watch above all, it may grant later. */
  async #run(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const pauseMs = await this.#round().catch((error) => {
        const isNew = !this.#closed.signal.aborted && this.#said.isNew(String(error));
        if (isNew) log.warn("logs are not bounded for the moment: {error}", { error });
        return RETRY_MS;
      });
      await sleep(this.#clock, pauseMs, this.#closed.signal).catch(() => {});
    }
  }

  /** Looks at all logs, then waits until one is written to; resolves with the pause until the next round. */
  async #round(): Promise<number> {
    using watcher = Deno.watchFs(this.#dir, { recursive: false });
    this.#watcher = watcher;
    const began = this.#clock.monotonic();
    const moved = await this.#lookAtAll();
    const tookMs = this.#clock.monotonic() - began;
    // Our own rotation is an event too, which the next round absorbs.
    if (!moved) await this.#firstWrite(watcher);
    return Math.max(LOOK_DELAY_MS, tookMs / LOOK_SHARE);
  }

  /** What was quiet and is written to is looked at at once: of a program that says little the times are exact. */
  async #firstWrite(watcher: Deno.FsWatcher): Promise<void> {
    for await (const event of watcher) {
      if (event.kind !== "modify" && event.flag !== "rescan") continue;
      for (const path of event.paths) {
        const name = path.slice(path.lastIndexOf("/") + 1);
        if (name.endsWith(".log")) await this.#look(name).catch(() => {});
      }
      return;
    }
  }

  /** True if a log was rotated. */
  async #lookAtAll(): Promise<boolean> {
    let moved = false;
    const names = new Set<string>();
    for await (const { name } of Deno.readDir(this.#dir)) if (name.endsWith(".log")) names.add(name);
    // Each has an older one beside it.
    const share = Math.max(Math.floor(this.#maxTotalBytes / 2 / names.size), MIN_LOG_BYTES);
    for (const name of names) {
      // Gone or full disk: the next look tries again.
      moved = await this.#trim(name, Math.min(this.#maxBytes, share)).catch(() => false) || moved;
    }
    for (const [name, { readers }] of this.#logs) {
      if (!names.has(name) && readers.size === 0) this.#logs.delete(name);
    }
    return moved;
  }

  async #look(name: string): Promise<Entry> {
    const entry = this.#entry(name);
    await this.#inTurn(entry, () => this.#measure(entry));
    return entry;
  }

  async #measure(entry: Entry): Promise<number> {
    const { path, times, readers, unseen } = entry;
    const { size, mtime, isSymlink } = await Deno.lstat(path);
    // A program may make one, to whatever it likes.
    if (isSymlink) throw new Error(`${path} is a symbolic link`);
    const now = this.#clock.now();
    const changed = (at: Date | null | undefined) => Math.min(now, at?.getTime() ?? now);
    if (unseen) {
      entry.unseen = false;
      const { base, end } = times.state;
      // Rotated while no agent was there to know of it.
      if (size < end - base) times.forget();
      const older = await Deno.lstat(`${path}.1`).catch(() => undefined);
      if (older?.isFile) times.foundOlder(older.size, changed(older.mtime));
    }
    // What was there before anybody looked was written at the last change at the latest.
    if (times.seen(size, unseen ? changed(mtime) : now)) { for (const wake of [...readers]) wake(); }
    return size;
  }

  /** The program keeps its descriptor, so the file is copied and emptied; what it writes in between is lost. */
  async #trim(name: string, maxBytes: number): Promise<boolean> {
    const entry = this.#entry(name), { path, times } = entry;
    return await this.#inTurn(entry, async () => {
      const size = await this.#measure(entry);
      // Its share has become smaller: what is older counts less.
      const older = await Deno.lstat(`${path}.1`).catch(() => undefined);
      if (older && older.size > maxBytes && older.size > MIN_LOG_BYTES) {
        await Deno.remove(`${path}.1`);
        times.olderGone();
      }
      if (size <= maxBytes) return false;
      let kept = 0;
      try {
        const copied = await keepTail(path, `${path}.1`, maxBytes);
        times.seen(copied.size, this.#clock.now());
        kept = copied.kept;
      } finally {
        await Deno.truncate(path);
        times.rotated(kept);
      }
      return true;
    });
  }
}

/** Copies the last `bytes` of `from`; resolves with how many that were, and up to where. */
async function keepTail(from: string, to: string, bytes: number): Promise<{ size: number; kept: number }> {
  using source = await Deno.open(from);
  const { size } = await source.stat();
  const start = Math.max(0, size - bytes);
  await source.seek(start, Deno.SeekMode.Start);
  using target = await Deno.open(to, { write: true, create: true, truncate: true, mode: 0o600 });
  const buffer = new Uint8Array(64 * 1024);
  let kept = 0;
  for (let left = size - start; left > 0;) {
    const count = await source.read(buffer.subarray(0, left));
    if (count === null) break;
    for (let at = 0; at < count;) at += await target.write(buffer.subarray(at, count));
    kept += count;
    left -= count;
  }
  return { size, kept };
}

/** What an earlier agent has written; nothing where it is damaged. */
function parseStates(text: string): Record<string, LogState> {
  const states: Record<string, LogState> = {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return states;
  }
  for (const [name, state] of Object.entries((parsed ?? {}) as Record<string, LogState>)) {
    const numbers = [state?.oldFrom, state?.base, state?.end];
    const ordered = numbers.every((number) => Number.isSafeInteger(number) && number >= 0) &&
      state.oldFrom <= state.base && state.base <= state.end && Array.isArray(state.marks) &&
      state.marks.every(({ at, ms }) => Number.isSafeInteger(at) && Number.isFinite(ms));
    if (ordered) states[name] = state;
  }
  return states;
}
