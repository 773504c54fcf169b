/**
 * A disk with a journal in front of it: a small commit costs one write of a few sectors, and a database's pages are written
 * once for hundreds of them. See `docs/decisions/0153-a-journal-before-the-database.md`.
 */
import { Encoder } from "cbor-x";
import { CoveyError } from "../../../api/errors.ts";
import { commitAll, type Disk, type DiskKey, fitsOneCommit, type Mutation } from "./disk.ts";
import { Journal, type JournalFile, type JournalPlace, MAX_JOURNALED_BYTES, readJournal } from "./journal.ts";
import { seal, unseal } from "./record.ts";

/** The last place of the journal whose commits are in the database. */
const WRITTEN_KEY: DiskKey = ["journal"];

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** What is in the journal only, by key: the last word on each. */
type Pending = Map<string, Mutation>;

/** See the file's comment. */
export class JournaledDisk implements Disk {
  readonly failed: Promise<Error>;
  readonly #disk: Disk;
  readonly #file: JournalFile;
  readonly #journal: Journal;
  readonly #reportFailure: (error: Error) => void;
  #error: CoveyError | undefined;
  /** Of the present generation. */
  #pending: Pending = new Map();
  /** Of the one before, while it is being written on. */
  #leaving: Pending = new Map();
  /** Resolves, never rejects, once {@linkcode #leaving} is in the database, or cannot be. */
  #left: Promise<void> = Promise.resolve();
  /** One after another: commits, and what has to come between two. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, file: JournalFile, place: JournalPlace) {
    this.#disk = disk;
    this.#file = file;
    this.#journal = new Journal(file, place);
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#reportFailure = resolve;
    void disk.failed.then(resolve);
  }

  /** Brings `disk` up to what its journal has. Throws `data_loss` if that is damaged. */
  static async open(disk: Disk, openFile: () => Promise<JournalFile>): Promise<JournaledDisk> {
    // Before anything else: Deno KV's own threads end the process where the database is damaged, a read says so.
    const written = placeOf(await disk.get(WRITTEN_KEY));
    const file = await openFile();
    try {
      const payloads = await readJournal(file, written);
      const journaled = new JournaledDisk(disk, file, {
        // Both generations that may be there are written on as one, so that neither number is used again.
        generation: written.generation + (payloads.length > 0 ? 2 : 1),
        number: written.number + payloads.length,
      });
      for (const payload of payloads) journaled.#note(decodeCommit(payload));
      await journaled.#writeAll([]);
      return journaled;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  commit(mutations: readonly Mutation[]): Promise<void> {
    return this.#inTurn(() => this.#commit(mutations));
  }

  async get(key: DiskKey): Promise<Uint8Array | undefined> {
    const name = nameOf(key);
    const mutation = this.#pending.get(name) ?? this.#leaving.get(name);
    return mutation === undefined ? await this.#disk.get(key) : mutation.value;
  }

  async *list(prefix: DiskKey, start?: DiskKey): AsyncIterable<{ key: DiskKey; value: Uint8Array }> {
    await this.#inTurn(() => this.#writeAll([]));
    for await (const record of this.#disk.list(prefix, start)) {
      if (record.key[0] !== WRITTEN_KEY[0]) yield record;
    }
  }

  /** The database has everything afterwards, if it can be written. */
  async close(): Promise<void> {
    await this.#inTurn(() => this.#writeAll([])).catch(() => {});
    this.#file.close();
    await this.#disk.close();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #commit(mutations: readonly Mutation[]): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    if (mutations.length === 0) return;
    const payload = encodeCommit(mutations);
    if (payload === undefined) return await this.#writeAll(mutations);
    if (!this.#journal.hasRoom(payload.length)) {
      await this.#left;
      if (this.#error !== undefined) throw this.#error;
      this.#turn();
    }
    try {
      await this.#journal.append(payload);
    } catch (cause) {
      const what = cause instanceof Error ? cause.message : String(cause);
      throw this.#fail(new CoveyError("data_loss", `Cannot write ${this.#file.path}: ${what}`, { cause }));
    }
    this.#note(mutations);
  }

  #note(mutations: readonly Mutation[]): void {
    for (const mutation of mutations) this.#pending.set(nameOf(mutation.key), mutation);
  }

  /** The other half is filled from now on; what is in this one gets into the database meanwhile. */
  #turn(): void {
    const written = markOf(this.#journal.place), leaving = this.#pending;
    this.#leaving = leaving;
    this.#pending = new Map();
    this.#journal.turn();
    this.#left = commitAll(this.#disk, [...leaving.values(), written]).then(
      () => void (this.#leaving = new Map()),
      (error) => void this.#fail(CoveyError.from(error)),
    );
  }

  /** Puts everything that is in the journal into the database, and `mutations` as one commit behind it. */
  async #writeAll(mutations: readonly Mutation[]): Promise<void> {
    await this.#left;
    if (this.#error !== undefined) throw this.#error;
    const before = this.#pending.size === 0 ? [] : [...this.#pending.values(), markOf(this.#journal.place)];
    const together = [...before, ...mutations];
    try {
      if (fitsOneCommit(together)) await commitAll(this.#disk, together);
      else {
        await commitAll(this.#disk, before);
        await commitAll(this.#disk, mutations);
      }
    } catch (error) {
      throw this.#fail(CoveyError.from(error));
    }
    if (before.length === 0) return;
    this.#pending = new Map();
    this.#journal.turn();
  }

  /** Nothing can be known of a disk after that. */
  #fail(error: CoveyError): CoveyError {
    this.#error ??= error;
    this.#reportFailure(error);
    return error;
  }
}

function nameOf(key: DiskKey): string {
  return key.join("/");
}

/** Says that everything before `place` is in the database. It goes with the last of it. */
function markOf({ generation, number }: JournalPlace): Mutation {
  const header = { major: generation, minor: number, kind: 0, part: 0, parts: 1 };
  return { key: WRITTEN_KEY, value: seal(WRITTEN_KEY, header, new Uint8Array()) };
}

function placeOf(mark: Uint8Array | undefined): JournalPlace {
  if (mark === undefined) return { generation: 0, number: 0 };
  const { major, minor } = unseal(WRITTEN_KEY, mark);
  return { generation: major, number: minor };
}

/** The payload of a commit, if it belongs into the journal. */
function encodeCommit(mutations: readonly Mutation[]): Uint8Array | undefined {
  const bytes = mutations.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
  if (bytes > MAX_JOURNALED_BYTES) return undefined;
  const payload = cbor.encode(mutations.map(({ key, value }) => [key, value ?? null]));
  return payload.length > MAX_JOURNALED_BYTES ? undefined : payload;
}

function decodeCommit(payload: Uint8Array): Mutation[] {
  const mutations = cbor.decode(payload) as [DiskKey, Uint8Array | null][];
  return mutations.map(([key, value]) => ({ key, value: value ?? undefined }));
}
