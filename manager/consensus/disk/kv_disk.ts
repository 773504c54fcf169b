/** Records in a Deno KV file, behind a journal. */
import { dirname } from "node:path";
import { CoveyError } from "../../../api/errors.ts";
import { checkDatabase, systemFileSystem } from "../../../security/mod.ts";
import type { Disk, DiskKey, Mutation } from "./disk.ts";
import { openJournalFile } from "./journal.ts";
import { JournaledDisk } from "./journaled_disk.ts";

/** Records read at once, and once more ahead: fast for small ones, and 15 MB of the largest. */
const LIST_BATCH = 125;

/**
 * Opens the Deno KV file at `kvPath` with its journal beside it, making them, for their owner's eyes only, if need be. Throws
 * `data_loss` on damaged ones.
 */
export async function openKvDisk(kvPath: string): Promise<Disk> {
  // SQLite gives its side files the mode of the main one. It holds the cluster's keys.
  (await Deno.open(kvPath, { create: true, write: true, mode: 0o600 })).close();
  await checkDatabase(kvPath);
  const database = new KvDisk(await Deno.openKv(kvPath), kvPath);
  const openFile = () =>
    openJournalFile(`${kvPath}.journal`, () => systemFileSystem.syncFolder(dirname(kvPath)));
  try {
    return await JournaledDisk.open(database, openFile);
  } catch (error) {
    await database.close();
    throw error;
  }
}

class KvDisk implements Disk {
  readonly failed: Promise<Error>;
  readonly #kv: Deno.Kv;
  readonly #path: string;
  readonly #reportFailure: (error: Error) => void;
  #error: CoveyError | undefined;
  /** One commit after another, so that none starts after one that failed. */
  #last: Promise<void> = Promise.resolve();

  constructor(kv: Deno.Kv, path: string) {
    this.#kv = kv;
    this.#path = path;
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#reportFailure = resolve;
  }

  commit(mutations: readonly Mutation[]): Promise<void> {
    const done = this.#last.then(() => this.#write(mutations));
    this.#last = done.catch(() => {});
    return done;
  }

  async get(key: DiskKey): Promise<Uint8Array | undefined> {
    try {
      const { value } = await this.#kv.get(key);
      return value === null ? undefined : bytesOf(key, value);
    } catch (error) {
      throw this.#unreadable(error);
    }
  }

  async *list(prefix: DiskKey, start?: DiskKey): AsyncIterable<{ key: DiskKey; value: Uint8Array }> {
    const selector = start === undefined ? { prefix } : { prefix, start };
    let next = this.#page(selector, undefined);
    try {
      for (let more = true; more;) {
        const { records, cursor } = await next;
        more = records.length === LIST_BATCH;
        // The next page is on its way while this one is looked at.
        if (more) next = this.#page(selector, cursor);
        for (const { key, value } of records) {
          yield { key: key as DiskKey, value: bytesOf(key as DiskKey, value) };
        }
      }
    } catch (error) {
      throw this.#unreadable(error);
    } finally {
      // If the reader left early, nobody hears of an error of the page that was on its way.
      await next.catch(() => {});
    }
  }

  async #page(selector: Deno.KvListSelector, cursor: string | undefined) {
    const limit = LIST_BATCH;
    const page = this.#kv.list(selector, {
      limit,
      batchSize: limit,
      ...(cursor !== undefined && { cursor }),
    });
    const records = await Array.fromAsync(page);
    return { records, cursor: page.cursor };
  }

  async close(): Promise<void> {
    await this.#last;
    this.#kv.close();
  }

  #unreadable(error: unknown): CoveyError {
    if (error instanceof CoveyError) return error;
    return new CoveyError("data_loss", `Cannot read ${this.#path}: ${messageOf(error)}`, { cause: error });
  }

  async #write(mutations: readonly Mutation[]): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    try {
      const atomic = this.#kv.atomic();
      for (const { key, value } of mutations) {
        if (value === undefined) atomic.delete(key);
        else atomic.set(key, value);
      }
      const result = await atomic.commit();
      if (!result.ok) throw new Error("the commit was refused");
    } catch (error) {
      this.#error = new CoveyError("data_loss", `Cannot write ${this.#path}: ${messageOf(error)}`, {
        cause: error,
      });
      this.#reportFailure(this.#error);
      throw this.#error;
    }
  }
}

function bytesOf(key: DiskKey, value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`record ${key.join("/")} is not bytes`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
