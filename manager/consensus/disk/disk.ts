/** The disk as consensus sees it: atomic, synced commits of small records, and an end at the first error. */
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
