/** Learns of every program's end through one folder watch: nothing is polled and nothing wakes while all is quiet. */
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { getLogger } from "../../api/log.ts";
import { type ExitRecord, parseExit } from "./shim.ts";

/** Pause before a watch that broke is made anew. */
const REOPEN_MS = 1000;

const log = getLogger(["covey", "process"]);

/** Called with the record, or with undefined if the shim let go of its file without writing one. */
export type Listener = (record: ExitRecord | undefined) => void;

/** Tells of changes in a folder until it is closed. */
export type FolderWatch = AsyncIterable<Pick<Deno.FsEvent, "kind" | "paths" | "flag">> & { close(): void };

/** Watches the folder in which each shim holds one file open, with its last line written before it closes it. */
export class ExitWatch {
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #watch: (dir: string) => FolderWatch;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #closed = new AbortController();
  #watcher: FolderWatch | undefined;
  #running: Promise<void> | undefined;

  /** `watch` stands in for the system's in tests. */
  constructor(
    dir: string,
    clock: Clock,
    watch: (dir: string) => FolderWatch = (path) => Deno.watchFs(path, { recursive: false }),
  ) {
    this.#dir = dir;
    this.#clock = clock;
    this.#watch = watch;
  }

  /** Starts to watch; what happens from here on is seen. Throws `unavailable` where the system has no watch to give. */
  open(): void {
    if (this.#running) return;
    try {
      this.#watcher = this.#watch(this.#dir);
    } catch (cause) {
      const why = CoveyError.from(cause).message;
      throw new CoveyError("unavailable", `Cannot watch for programs that end: ${why}`, { cause });
    }
    this.#running = this.#run(this.#watcher);
  }

  /** Calls `listener` whenever there may be news of `id`, until {@linkcode ExitWatch.forget}. */
  listen(id: string, listener: Listener): void {
    this.open();
    const listeners = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, listeners.add(listener));
  }

  /** Stops calling `listener`; others for the same program stay. */
  forget(id: string, listener: Listener): void {
    const listeners = this.#listeners.get(id);
    if (listeners?.delete(listener) && listeners.size === 0) this.#listeners.delete(id);
  }

  /** The record of `id`, if its program has ended. */
  async read(id: string): Promise<ExitRecord | undefined> {
    try {
      return parseExit(await Deno.readTextFile(`${this.#dir}/${id}`));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#listeners.clear();
    this.#watcher?.close();
    await this.#running;
  }

  /** Follows one watch after the other; after each, what ended unseen is looked up. Never rejects. */
  async #run(first: FolderWatch): Promise<void> {
    let watcher: FolderWatch | undefined = first;
    while (true) {
      const broke = watcher && await this.#follow(watcher).then(() => "it ended", (error) => error);
      if (this.#closed.signal.aborted) return;
      if (broke) log.warn("the watch for ended programs is made anew: {broke}", { broke });
      await sleep(this.#clock, REOPEN_MS, this.#closed.signal).catch(() => {});
      if (this.#closed.signal.aborted) return;
      watcher = this.#watcher = this.#tryWatch();
      if (watcher) { for (const id of [...this.#listeners.keys()]) await this.#look(id); }
    }
  }

  #tryWatch(): FolderWatch | undefined {
    try {
      return this.#watch(this.#dir);
    } catch (error) {
      log.warn("cannot watch for ended programs, trying again: {error}", { error });
    }
  }

  /** Only the end of a shim closes its file; what it and others write or read meanwhile is no news. */
  async #follow(watcher: FolderWatch): Promise<void> {
    for await (const event of watcher) {
      // The kernel's queue overflowed: anything may have been missed.
      const isRescan = event.flag === "rescan";
      const ids = isRescan
        ? [...this.#listeners.keys()]
        : event.paths.map((path) => path.slice(path.lastIndexOf("/") + 1));
      if (event.kind === "access" || isRescan) { for (const id of ids) await this.#look(id); }
    }
  }

  async #look(id: string): Promise<void> {
    if (!this.#listeners.has(id)) return;
    // What cannot be read now is looked into by the listener.
    const record = await this.read(id).catch(() => undefined);
    for (const listener of [...this.#listeners.get(id) ?? []]) listener(record);
  }
}
