/** The disk as consensus sees it: atomic, synced commits of small records, and an end at the first error. */
import { CoveyError } from "../../../api/errors.ts";
import { checkDatabase } from "../../../security/mod.ts";

/** Where a record is. Records are listed in the order of their keys. */
export type DiskKey = readonly (string | number)[];

/** Sets a record, or deletes it if `value` is undefined. */
export interface Mutation {
  key: DiskKey;
  value: Uint8Array | undefined;
}

/**
 * Records on disk. After a failed commit nothing can be known of the disk (PostgreSQL's lesson of fsync,
 * 2018), so every later commit is refused with `data_loss` even if there is space again.
 */
export interface Disk {
  /**
   * Makes all of `mutations` durable in one sync, or none of them. Within {@linkcode MAX_COMMIT_BYTES} and
   * `…_MUTATIONS`.
   */
  commit(mutations: readonly Mutation[]): Promise<void>;
  /** One record. Throws `data_loss` if it cannot be read. */
  get(key: DiskKey): Promise<Uint8Array | undefined>;
  /** Records under `prefix`, in order, from `start` on. */
  list(prefix: DiskKey, start?: DiskKey): AsyncIterable<{ key: DiskKey; value: Uint8Array }>;
  /** Resolves with the error of the first failed commit; never otherwise. */
  readonly failed: Promise<Error>;
  /** Waits for what is being committed, then closes. */
  close(): Promise<void>;
}

/** Bytes of a record's value at most; Deno KV takes 64 KiB. */
export const MAX_VALUE_BYTES = 60 * 1024;
/** Bytes of a commit at most, keys included; Deno KV takes 800 KiB, of them 80 KiB of keys. */
export const MAX_COMMIT_BYTES = 720 * 1024;
/** Mutations of a commit at most; Deno KV takes 1,000. With keys of up to 80 bytes they stay below 80 KiB. */
const MAX_COMMIT_MUTATIONS = 900;
/** Bytes of a record such as the hard state, at most. */
const SMALL_RECORD_BYTES = 256;
/** Records read at once, and once more ahead: fast for small ones, and 15 MB of the largest. */
const LIST_BATCH = 125;

/**
 * Commits any number of mutations in order, in as few commits as the limits allow. A crash leaves a prefix
 * of the commits.
 */
export async function commitAll(disk: Disk, mutations: Iterable<Mutation>): Promise<void> {
  for (const part of commitsOf(mutations, MAX_COMMIT_BYTES, MAX_COMMIT_MUTATIONS)) await disk.commit(part);
}

/** Cuts `mutations` into commits of so many bytes and mutations at most; a larger mutation stands alone. */
export function* commitsOf(
  mutations: Iterable<Mutation>,
  maxBytes: number,
  maxMutations: number,
): Iterable<Mutation[]> {
  let part: Mutation[] = [];
  let bytes = 0;
  for (const mutation of mutations) {
    const size = mutationBytes(mutation);
    if (part.length > 0 && (bytes + size > maxBytes || part.length === maxMutations)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(mutation);
    bytes += size;
  }
  if (part.length > 0) yield part;
}

/** Whether `mutations`, and a small record more, become durable in one sync. */
export function fitsOneCommit(mutations: readonly Mutation[]): boolean {
  const bytes = mutations.reduce((sum, mutation) => sum + mutationBytes(mutation), SMALL_RECORD_BYTES);
  return bytes <= MAX_COMMIT_BYTES && mutations.length < MAX_COMMIT_MUTATIONS;
}

function mutationBytes({ key, value }: Mutation): number {
  const keyBytes = key.reduce<number>(
    (sum, part) => sum + (typeof part === "string" ? part.length + 2 : 9),
    0,
  );
  return keyBytes + (value?.length ?? 0);
}

/** Opens the Deno KV file at `kvPath`, making it, for its owner's eyes only, if need be. Throws `data_loss` on a damaged one. */
export async function openKvDisk(kvPath: string): Promise<Disk> {
  // SQLite gives its side files the mode of the main one. It holds the cluster's keys.
  (await Deno.open(kvPath, { create: true, write: true, mode: 0o600 })).close();
  await checkDatabase(kvPath);
  return new KvDisk(await Deno.openKv(kvPath), kvPath);
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
