/**
 * A disk whose records are sealed. Nothing above it knows; its keys may be changed while it is written.
 *
 *     format u8 | key u32 | sealed bytes      (big-endian; see security/data_cipher.ts)
 *
 * The first four bytes name the key: while one replaces another, there are records of both. The record's key goes in as
 * additional data, so that no record can be put in the place of another.
 */
import { CoveyError } from "../../../api/errors.ts";
import { DataCipher, KEY_ID_BYTES } from "../../../security/mod.ts";
import { type BulkOptions, BulkWriter } from "./bulk_writer.ts";
import type { Disk, DiskKey, Mutation } from "./disk.ts";
import { damaged } from "./record.ts";

const FORMAT = 1;
const HEAD_BYTES = 1 + KEY_ID_BYTES;
/** Its presence says that all records are sealed. */
const MARK_KEY: DiskKey = ["sealed"];
const MARK = new TextEncoder().encode("covey");
const WRONG_KEYS =
  "Cannot unseal the state: it is damaged, or certificates/manager.keys is not what it was sealed with; " +
  "bring that file back, or replace this manager";
/** Bytes read at once to be sealed anew, which with the records' heads are one commit of a {@linkcode BulkWriter}. */
const RESEAL_BYTES = 192 * 1024;
/** Records of such a piece. */
const RESEAL_RECORDS = 50;

/** A disk that is to be sealed has records, and none that says that it was. */
export class NeverSealed extends CoveyError {
  constructor() {
    super("failed_precondition", "Cannot unseal the state: it was never sealed");
  }
}

/** Whether there is nothing on a disk. */
async function isEmpty(disk: Disk): Promise<boolean> {
  for await (const _ of disk.list([])) return false;
  return true;
}

/** See the file's comment. */
export class SealedDisk implements Disk {
  readonly failed: Promise<Error>;
  readonly #disk: Disk;
  /** None is ever forgotten: what reads a list may hold records from before they were sealed anew. */
  readonly #ciphers = new Map<number, DataCipher>();
  /** The one that is written with. */
  #cipher: DataCipher;
  /** Keys of records that were written since a piece to be sealed anew was begun. */
  #touched: Set<string> | undefined;
  /** The commit begun last; those before it have ended when it has. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, keys: readonly Uint8Array[]) {
    this.#disk = disk;
    this.failed = disk.failed;
    this.#cipher = this.#learn(keys);
  }

  /**
   * Opens a new disk, or one that was sealed with any of `keys`; the last of them seals what is written. Throws
   * `data_loss` if the disk cannot be unsealed, and {@linkcode NeverSealed}.
   */
  static async open(disk: Disk, keys: readonly Uint8Array[]): Promise<SealedDisk> {
    const sealed = new SealedDisk(disk, keys);
    const mark = await sealed.get(MARK_KEY).catch((cause) => {
      throw new CoveyError("data_loss", WRONG_KEYS, { cause });
    });
    if (mark !== undefined) return sealed;
    if (!await isEmpty(disk)) throw new NeverSealed();
    await sealed.commit([{ key: MARK_KEY, value: MARK }]);
    return sealed;
  }

  commit(mutations: readonly Mutation[]): Promise<void> {
    const touched = this.#touched;
    if (touched !== undefined) { for (const { key } of mutations) touched.add(nameOf(key)); }
    const done = this.#disk.commit(
      mutations.map(({ key, value }) => ({ key, value: value && this.#seal(key, value) })),
    );
    this.#last = done.catch(() => {});
    return done;
  }

  async get(key: DiskKey): Promise<Uint8Array | undefined> {
    const value = await this.#disk.get(key);
    return value && this.#unseal(key, value);
  }

  async *list(prefix: DiskKey, start?: DiskKey): AsyncIterable<{ key: DiskKey; value: Uint8Array }> {
    for await (const { key, value } of this.#disk.list(prefix, start)) {
      yield { key, value: this.#unseal(key, value) };
    }
  }

  /**
   * Seals what is written from now on with the last of `keys`, then everything else. Once this resolves, the keys before
   * are not needed any more; a crash leaves records of any of `keys`. One call at a time.
   */
  async useKeys(keys: readonly Uint8Array[], options: BulkOptions = {}): Promise<void> {
    this.#cipher = this.#learn(keys);
    const writer = new BulkWriter(this.#disk, options);
    await this.#last;
    for (const piece of piecesOf(await this.#staleRecords())) {
      this.#touched = new Set();
      // What was begun before has to be on disk before it is read; what is begun from now on is touched.
      await this.#last;
      const records = await Promise.all(
        piece.map(async (key) => ({ key, value: await this.#disk.get(key) })),
      );
      options.signal?.throwIfAborted();
      // From here to the commit nothing may be waited for: it has to come before those that others begin now.
      const touched = this.#touched;
      this.#touched = undefined;
      const mutations = records.flatMap(({ key, value }): Mutation[] =>
        value === undefined || touched.has(nameOf(key))
          ? []
          : [{ key, value: this.#seal(key, this.#unseal(key, value)) }]
      );
      await writer.commit(mutations);
    }
  }

  close(): Promise<void> {
    return this.#disk.close();
  }

  /** Adds keys to those that are known; returns the cipher of the last one. */
  #learn(keys: readonly Uint8Array[]): DataCipher {
    const ciphers = keys.map((key) => new DataCipher(key));
    for (const cipher of ciphers) this.#ciphers.set(cipher.id, cipher);
    return ciphers.at(-1)!;
  }

  /** Records of other keys than the present one, and their sizes. */
  async #staleRecords(): Promise<{ key: DiskKey; bytes: number }[]> {
    const stale: { key: DiskKey; bytes: number }[] = [];
    for await (const { key, value } of this.#disk.list([])) {
      if (keyIDOf(value) !== this.#cipher.id) stale.push({ key, bytes: value.length });
    }
    return stale;
  }

  #seal(key: DiskKey, value: Uint8Array): Uint8Array {
    const sealed = this.#cipher.seal(value, nameOf(key));
    const record = new Uint8Array(HEAD_BYTES + sealed.length);
    record[0] = FORMAT;
    new DataView(record.buffer).setUint32(1, this.#cipher.id);
    record.set(sealed, HEAD_BYTES);
    return record;
  }

  #unseal(key: DiskKey, record: Uint8Array): Uint8Array {
    const value = record[0] === FORMAT
      ? this.#ciphers.get(keyIDOf(record))?.unseal(record.subarray(HEAD_BYTES), nameOf(key))
      : undefined;
    if (value !== undefined) return value;
    throw damaged(key, "it is damaged, or was sealed with a key that this manager does not have");
  }
}

/** Undefined for what is too short to be sealed. */
function keyIDOf(record: Uint8Array): number {
  if (record.length < HEAD_BYTES) return -1;
  return new DataView(record.buffer, record.byteOffset, record.byteLength).getUint32(1);
}

function nameOf(key: DiskKey): string {
  return key.join("/");
}

/** Cuts keys so that the records of a piece fit into one commit. */
function* piecesOf(records: readonly { key: DiskKey; bytes: number }[]): Iterable<DiskKey[]> {
  let piece: DiskKey[] = [], sum = 0;
  for (const { key, bytes } of records) {
    if (piece.length > 0 && (sum + bytes > RESEAL_BYTES || piece.length === RESEAL_RECORDS)) {
      yield piece;
      piece = [];
      sum = 0;
    }
    piece.push(key);
    sum += bytes;
  }
  if (piece.length > 0) yield piece;
}
