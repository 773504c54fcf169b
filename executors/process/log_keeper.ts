/**
 * Keeps programs' logs bounded. A program appends to its file directly, at no cost to anybody; the keeper
 * sleeps on a folder watch, so an idle device has no wakeups and no writes, and looks at the sizes at most
 * once in `LOOK_DELAY_MS` while something writes. A log holds at most `maxBytes` and what is written in that
 * time, plus one older file of that size. The bound holds while an agent runs, and again as soon as the next
 * one does.
 */
import { getLogger } from "../../api/log.ts";
import { SayOnce } from "../../api/say_once.ts";
import { type Clock, sleep } from "../../api/clock.ts";

/** Size of a log before it becomes the older one; two of them for ten tasks are 40 MiB. */
export const MAX_LOG_BYTES = 2 * 1024 * 1024;
/** Least time between two looks. */
const LOOK_DELAY_MS = 1000;
/** Pause after a look that failed. */
const RETRY_MS = 30_000;
/** A look may take this share of the time at most, whatever the number of logs. */
const LOOK_SHARE = 0.02;

const log = getLogger(["covey", "process"]);

/** Bounds the `*.log` files of one folder. */
export class LogKeeper {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #closed = new AbortController();
  readonly #said = new SayOnce();
  #watcher: Deno.FsWatcher | undefined;
  #running: Promise<void> | undefined;

  constructor(dir: string, clock: Clock, maxBytes: number = MAX_LOG_BYTES) {
    this.#dir = dir;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** Starts to keep the folder; calling it again does nothing. */
  open(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#watcher?.close();
    await this.#running;
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
    const moved = await this.#trimAll();
    const tookMs = this.#clock.monotonic() - began;
    // Our own rotation is an event too, which the next round absorbs.
    if (!moved) await this.#firstWrite(watcher);
    return Math.max(LOOK_DELAY_MS, tookMs / LOOK_SHARE);
  }

  async #firstWrite(watcher: Deno.FsWatcher): Promise<void> {
    for await (const event of watcher) if (event.kind === "modify" || event.flag === "rescan") return;
  }

  /** True if a log was rotated. */
  async #trimAll(): Promise<boolean> {
    let moved = false;
    for await (const entry of Deno.readDir(this.#dir)) {
      if (!entry.name.endsWith(".log")) continue;
      const path = `${this.#dir}/${entry.name}`;
      // Gone or full disk: the next look tries again.
      moved = await this.#trim(path).catch(() => false) || moved;
    }
    return moved;
  }

  /** The program keeps its descriptor, so the file is copied and emptied; what it writes in between is lost. */
  async #trim(path: string): Promise<boolean> {
    if ((await Deno.stat(path)).size <= this.#maxBytes) return false;
    try {
      await keepTail(path, `${path}.1`, this.#maxBytes);
    } finally {
      await Deno.truncate(path);
    }
    return true;
  }
}

/** Copies the last `bytes` of `from`. */
async function keepTail(from: string, to: string, bytes: number): Promise<void> {
  using source = await Deno.open(from);
  const { size } = await source.stat();
  await source.seek(Math.max(0, size - bytes), Deno.SeekMode.Start);
  using target = await Deno.open(to, { write: true, create: true, truncate: true, mode: 0o600 });
  await source.readable.pipeTo(target.writable);
}
