/** Learns of every program's end through one folder watch: nothing is polled and nothing wakes while all is quiet. */
import { type ExitRecord, parseExit } from "./shim.ts";

/** Called with the record, or with undefined if the shim let go of its file without writing one. */
export type Listener = (record: ExitRecord | undefined) => void;

/** Watches the folder in which each shim holds one file open, with its last line written before it closes it. */
export class ExitWatch {
  readonly #dir: string;
  readonly #listeners = new Map<string, Listener>();
  #watcher: Deno.FsWatcher | undefined;
  #running: Promise<void> | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Starts to watch; what happens from here on is seen. */
  open(): void {
    if (this.#watcher) return;
    this.#watcher = Deno.watchFs(this.#dir, { recursive: false });
    this.#running = this.#run(this.#watcher);
  }

  /** Calls `listener` whenever there may be news of `id`, until it is replaced or {@linkcode ExitWatch.forget}. */
  listen(id: string, listener: Listener): void {
    this.open();
    this.#listeners.set(id, listener);
  }

  /** Stops calling `listener`; a later one for the same program stays. */
  forget(id: string, listener: Listener): void {
    if (this.#listeners.get(id) === listener) this.#listeners.delete(id);
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
    this.#listeners.clear();
    this.#watcher?.close();
    await this.#running;
    this.#watcher = undefined;
  }

  /** Only the end of a shim closes its file; what it and others write or read meanwhile is no news. */
  async #run(watcher: Deno.FsWatcher): Promise<void> {
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
    this.#listeners.get(id)?.(record);
  }
}
