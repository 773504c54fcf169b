/**
 * The state on disk, as of some index or a little newer: records under `state/EPOCH/KEY`; the parts of a
 * big one under `part/EPOCH/KEY/GENERATION/PART`, with `state/EPOCH/KEY` pointing to them.
 *
 * A checkpoint writes dirty records in place, in as many commits as it takes, and last of all the index.
 * After a crash in between, some records are newer than the index says; the log from that index on, which
 * is still there, holds whole objects, so replaying it arrives at the same state. A snapshot from another
 * member is written to a new epoch, then switched to.
 */
import type { StateRecord } from "./state_machine.ts";
import { commitAll, type Disk, type DiskKey, type Mutation } from "./disk.ts";
import { damaged, join, seal, split, unseal } from "./record.ts";

/** A record to write; without `value`, to delete. */
export interface DirtyRecord {
  key: string;
  value: Uint8Array | undefined;
}

const CHECKPOINT_KEY: DiskKey = ["checkpoint"];

/** The stored state. */
export class Checkpoint {
  readonly #disk: Disk;
  #index = 0;
  #term = 0;
  #epoch = 0;
  /** Differs for any two writes of one record. */
  #generation = 0;
  /** Records in more than one part: their generation and number of parts. */
  #big = new Map<string, { generation: number; parts: number }>();

  private constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Finds the last checkpoint. Throws `data_loss` if it is damaged. */
  static async open(disk: Disk): Promise<Checkpoint> {
    const checkpoint = new Checkpoint(disk);
    const value = await disk.get(CHECKPOINT_KEY);
    if (value !== undefined) {
      const { major, minor, kind } = unseal(CHECKPOINT_KEY, value);
      checkpoint.#term = major;
      checkpoint.#index = minor;
      checkpoint.#epoch = kind;
    }
    return checkpoint;
  }

  /** Index of the last entry that the state is sure to contain. */
  get index(): number {
    return this.#index;
  }

  /** Term of that entry. */
  get term(): number {
    return this.#term;
  }

  /** Reads all records and deletes what a crash left over. Throws `data_loss` if one is damaged. */
  async load(): Promise<StateRecord[]> {
    const parts = await this.#loadParts();
    const records: StateRecord[] = [];
    for await (const { key, value } of this.#disk.list(["state", this.#epoch])) {
      const name = key[2] as string;
      const header = unseal(key, value);
      this.#generation = Math.max(this.#generation, header.major);
      if (header.parts === 1) {
        records.push({ key: name, value: header.payload });
        continue;
      }
      const id = `${header.major} ${name}`;
      const found = parts.get(id) ?? [];
      if (found.length !== header.parts) {
        throw damaged(key, `${header.parts - found.length} parts are missing`);
      }
      parts.delete(id);
      this.#big.set(name, { generation: header.major, parts: header.parts });
      records.push({ key: name, value: join(found.map(({ payload }) => payload)) });
    }
    const orphans = [...parts.values()].flat().map(({ key }) => ({ key, value: undefined }));
    await commitAll(this.#disk, orphans);
    await this.#dropEpoch(otherEpoch(this.#epoch));
    return records;
  }

  /** Writes what changed since the last checkpoint, then `index` and `term`. */
  async write(index: number, term: number, dirty: Iterable<DirtyRecord>): Promise<void> {
    await this.#commit(index, term, this.#epoch, dirty);
  }

  /** Replaces all records by those of a snapshot. A crash leaves the old state or the new. */
  async replace(index: number, term: number, records: Iterable<StateRecord>): Promise<void> {
    this.#big.clear();
    await this.#commit(index, term, otherEpoch(this.#epoch), records);
    await this.#dropEpoch(otherEpoch(this.#epoch));
  }

  async #commit(index: number, term: number, epoch: number, records: Iterable<DirtyRecord>): Promise<void> {
    this.#generation++;
    const header = { major: term, minor: index, kind: epoch, part: 0, parts: 1 };
    const mark = { key: CHECKPOINT_KEY, value: seal(CHECKPOINT_KEY, header, new Uint8Array()) };
    await commitAll(this.#disk, this.#mutations(index, epoch, records, mark));
    this.#index = index;
    this.#term = term;
    this.#epoch = epoch;
  }

  *#mutations(
    index: number,
    epoch: number,
    records: Iterable<DirtyRecord>,
    mark: Mutation,
  ): Iterable<Mutation> {
    for (const { key: name, value } of records) {
      const key = ["state", epoch, name] as const;
      const before = this.#big.get(name);
      this.#big.delete(name);
      if (value === undefined) yield { key, value };
      else yield* this.#setting(key, index, value);
      for (let part = 0; part < (before?.parts ?? 0); part++) {
        yield { key: ["part", epoch, name, before!.generation, part], value: undefined };
      }
    }
    yield mark;
  }

  /** The parts come before what points to them, so that the record changes in one commit. */
  *#setting(key: readonly [string, number, string], index: number, value: Uint8Array): Iterable<Mutation> {
    const [, epoch, name] = key;
    const generation = this.#generation;
    const pieces = split(value);
    const header = { major: generation, minor: index, kind: 0, part: 0, parts: pieces.length };
    if (pieces.length === 1) return yield { key, value: seal(key, header, value) };
    for (const [part, piece] of pieces.entries()) {
      const partKey = ["part", epoch, name, generation, part];
      yield { key: partKey, value: seal(partKey, { ...header, part }, piece) };
    }
    yield { key, value: seal(key, header, new Uint8Array()) };
    this.#big.set(name, { generation, parts: pieces.length });
  }

  /** Parts of big records by `generation name`. */
  async #loadParts(): Promise<Map<string, { key: DiskKey; payload: Uint8Array }[]>> {
    const parts = new Map<string, { key: DiskKey; payload: Uint8Array }[]>();
    for await (const { key, value } of this.#disk.list(["part", this.#epoch])) {
      const { payload, major } = unseal(key, value);
      this.#generation = Math.max(this.#generation, major);
      const id = `${major} ${key[2]}`;
      const found = parts.get(id);
      if (found === undefined) parts.set(id, [{ key, payload }]);
      else found.push({ key, payload });
    }
    return parts;
  }

  async #dropEpoch(epoch: number): Promise<void> {
    for (const prefix of [["state", epoch], ["part", epoch]]) {
      const doomed: Mutation[] = [];
      for await (const { key } of this.#disk.list(prefix)) doomed.push({ key, value: undefined });
      await commitAll(this.#disk, doomed);
    }
  }
}

/** Two epochs are enough: what is left of the other one is deleted before it is used again. */
function otherEpoch(epoch: number): number {
  return 1 - epoch;
}
