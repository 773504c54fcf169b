/**
 * The checkpoints before the present one, as far as they are kept: which segments each consists of, under
 * `old/INDEX`, and those of these segments that the present state has done without since, under
 * `old segment/EPOCH/SEGMENT/PART`.
 *
 *     copies of what is about to go  ->  the checkpoint's mark, with the lists  ->  what nothing refers to is deleted
 *
 * Each arrow may be a crash: copies without a list are deleted at the next start. The present state never depends on any of
 * this, and a version that does not know of it passes over these records.
 */
import { Decoder, Encoder } from "cbor-x/index-no-eval";
import { CoveyError } from "../../../api/errors.ts";
import { MAX_OLD_SNAPSHOTS } from "../../../api/cluster.ts";
import type { OldSnapshot } from "../consensus.ts";
import type { DirtyRecord } from "../state_machine.ts";
import type { Disk, DiskKey, Mutation } from "./disk.ts";
import { damaged, join, MAX_PAYLOAD_BYTES, seal, unseal } from "./record.ts";
import { decodeSegment } from "./segments.ts";

/** The same with what it consists of. */
interface Listed extends OldSnapshot {
  epoch: number;
  /** First and last number of each row of segments. */
  rows: [number, number][];
}

/** What becomes of the lists with a checkpoint. */
export interface KeptChange {
  /** To be committed with the checkpoint's mark. */
  mutations: Mutation[];
  kept: Listed[];
  present: Listed | undefined;
}

const LISTS = "old", SEGMENTS = "old segment";
const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });
const decoder = new Decoder({ useRecords: false, mapsAsObjects: true });

/** One member's. Whatever writes is called by one checkpoint after another. */
export class OldSnapshots {
  readonly #disk: Disk;
  #keep = 0;
  /** Oldest first. */
  #kept: Listed[] = [];
  /** Of the checkpoint that counts, as far as it is known what it consists of. */
  #present: Listed | undefined;
  /** Indexes of the lists on disk. */
  #written = new Set<number>();

  private constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Reads the lists; the present checkpoint is the one at `index` in `epoch`. A damaged one keeps no manager from starting. */
  static async open(disk: Disk, index: number, epoch: number): Promise<OldSnapshots> {
    const old = new OldSnapshots(disk);
    for await (const { key, value } of disk.list([LISTS])) {
      old.#written.add(key[1] as number);
      const listed = readList(key, value);
      if (listed?.epoch !== epoch || listed.index > index) continue;
      if (listed.index === index) old.#present = listed;
      else old.#kept.push(listed);
    }
    old.#kept.sort((a, b) => a.index - b.index);
    return old;
  }

  /** How many are kept besides the present one, from the next checkpoint on; {@linkcode MAX_OLD_SNAPSHOTS} at most. */
  set keep(count: number) {
    this.#keep = Math.min(count, MAX_OLD_SNAPSHOTS);
  }

  /** Those that are kept, oldest first. */
  get list(): OldSnapshot[] {
    return this.#kept.map(({ index, writtenAt }) => ({ index, writtenAt }));
  }

  /** What a checkpoint of these segments is to leave; {@linkcode done} makes it so. */
  change(written: OldSnapshot & { epoch: number; segments: Iterable<number> }): KeptChange {
    const { index, writtenAt, epoch, segments } = written, before = this.#present;
    if (this.#keep === 0) return { mutations: this.#forget(new Set()), kept: [], present: undefined };
    const candidates = before && before.index < index ? [...this.#kept, before] : this.#kept;
    const kept = candidates.slice(-this.#keep);
    const present = { index, writtenAt, epoch, rows: rowsOf(segments) };
    const lists = [...kept.filter((each) => !this.#written.has(each.index)), present].map(listRecord)
      .filter((record) => record !== undefined);
    return {
      mutations: [...lists, ...this.#forget(new Set([...kept, present].map((each) => each.index)))],
      kept,
      present,
    };
  }

  /** Copies of those of `doomed` that something in `kept` consists of. */
  async *copies({ kept }: KeptChange, epoch: number, doomed: readonly number[]): AsyncIterable<Mutation> {
    for (const number of doomed) {
      if (!kept.some((each) => has(each, epoch, number))) continue;
      for await (const { key, value } of this.#disk.list(["state", epoch, number])) {
        const { payload, ...header } = unseal(key, value);
        const copy = [SEGMENTS, ...key.slice(1)];
        yield { key: copy, value: seal(copy, header, payload) };
      }
    }
  }

  /** The mark is written: returns the copies to delete. */
  async done({ kept, present, mutations }: KeptChange): Promise<Mutation[]> {
    const hadAny = this.#kept.length > 0;
    this.#kept = kept;
    this.#present = present;
    for (const { key, value } of mutations) {
      if (value === undefined) this.#written.delete(key[1] as number);
      else this.#written.add(key[1] as number);
    }
    return hadAny ? await this.leftovers() : [];
  }

  /** Copies that nothing refers to. */
  async leftovers(): Promise<Mutation[]> {
    const found: Mutation[] = [];
    for await (const { key } of this.#disk.list([SEGMENTS])) {
      const isKept = this.#kept.some((each) => has(each, key[1] as number, key[2] as number));
      if (!isKept) found.push({ key, value: undefined });
    }
    return found;
  }

  /**
   * The records of the one at `index`, of two with one key the older one first. Throws `not_found` if it is not kept, or is
   * deleted meanwhile; `data_loss` if it is damaged.
   */
  async *records(index: number): AsyncIterable<DirtyRecord> {
    const listed = this.#kept.find((each) => each.index === index);
    if (listed === undefined) throw notKept(index);
    for (const [first, last] of listed.rows) {
      for (let number = first; number <= last; number++) {
        // Copied before it is deleted, so one of the two is whole.
        const parts = await this.#parts(["state", listed.epoch, number]) ??
          await this.#parts([SEGMENTS, listed.epoch, number]);
        if (parts !== undefined) yield* decodeSegment(join(parts));
        else if (this.#kept.includes(listed)) throw damaged(["old", index], `segment ${number} is missing`);
        else throw notKept(index);
      }
    }
  }

  /** A state from elsewhere is about to replace everything: nothing of before is kept. */
  clear(): KeptChange {
    return { mutations: this.#forget(new Set()), kept: [], present: undefined };
  }

  /** Undefined unless all are there. */
  async #parts(prefix: DiskKey): Promise<Uint8Array[] | undefined> {
    const parts: Uint8Array[] = [];
    let wanted = Infinity;
    for await (const { key, value } of this.#disk.list(prefix)) {
      const header = unseal(key, value);
      if (header.part !== parts.length) return undefined;
      wanted = header.parts;
      parts.push(header.payload);
    }
    return parts.length === wanted ? parts : undefined;
  }

  #forget(kept: ReadonlySet<number>): Mutation[] {
    return [...this.#written].filter((index) => !kept.has(index))
      .map((index) => ({ key: [LISTS, index], value: undefined }));
  }
}

function readList(key: DiskKey, value: Uint8Array): Listed | undefined {
  try {
    return decoder.decode(unseal(key, value).payload) as Listed;
  } catch {
    return undefined;
  }
}

/** Undefined for a list that no record holds, which one of a state near its limit could be: that one is not kept. */
function listRecord(listed: Listed): Mutation | undefined {
  const key = [LISTS, listed.index], payload = cbor.encode(listed);
  if (payload.length > MAX_PAYLOAD_BYTES) return undefined;
  const header = { major: 0, minor: listed.index, kind: 0, part: 0, parts: 1 };
  return { key, value: seal(key, header, payload) };
}

function rowsOf(segments: Iterable<number>): [number, number][] {
  const rows: [number, number][] = [];
  for (const number of [...segments].sort((a, b) => a - b)) {
    const row = rows.at(-1);
    if (row !== undefined && row[1] === number - 1) row[1] = number;
    else rows.push([number, number]);
  }
  return rows;
}

function has({ epoch, rows }: Listed, inEpoch: number, number: number): boolean {
  return epoch === inEpoch && rows.some(([first, last]) => first <= number && number <= last);
}

function notKept(index: number): CoveyError {
  return new CoveyError(
    "not_found",
    `Cannot read the snapshot of index ${index}: it is not kept, or not any more`,
  );
}
