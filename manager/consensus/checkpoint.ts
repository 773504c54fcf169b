/**
 * The state on disk, as of some index or a little newer: segments of many records under
 * `state/EPOCH/SEGMENT/PART`. Of two records with one key, the one in the later segment counts; one without
 * a value is a deletion. Segments are never changed, so an SD card sees few, long writes; one that is
 * mostly dead is copied into the next checkpoint.
 *
 * A checkpoint writes its segments in as many commits as it takes, and last of all the index. After a crash
 * in between, some records are newer than the index says; the log from that index on, which is still there,
 * holds whole objects, so replaying it arrives at the same state. A snapshot from another member is written
 * to a new epoch, then switched to.
 */
import { Encoder } from "cbor-x/index-no-eval";
import type { DirtyRecord, StateRecord } from "./state_machine.ts";
import { commitAll, type Disk, type DiskKey, type Mutation } from "./disk.ts";
import { countParts, damaged, deleteParts, join, seal, sealParts, unseal } from "./record.ts";

interface Segment {
  parts: number;
  bytes: number;
  records: number;
  /** Records that no later segment replaces. */
  live: number;
}

/** A segment is closed when it has this many bytes, so that nearly all fit into one commit. */
const SEGMENT_BYTES = 512 * 1024;
/** A segment with fewer live bytes is copied and deleted: half of what is on disk is alive. */
const MIN_LIVE_BYTES = SEGMENT_BYTES / 2;
const CHECKPOINT_KEY: DiskKey = ["checkpoint"];

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** The stored state. */
export class Checkpoint {
  readonly #disk: Disk;
  #index = 0;
  #term = 0;
  #epoch = 0;
  #segments = new Map<number, Segment>();
  /** The segment in which each key was last written. */
  #where = new Map<string, number>();
  #lastSegment = 0;

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

  /**
   * Gives `take` all records, of two with one key the older one first, and deletes what a crash left over. Throws
   * `data_loss` if one is damaged.
   */
  async load(take: (record: DirtyRecord) => void): Promise<void> {
    const leftovers: Mutation[] = [];
    this.#segments.clear();
    this.#where.clear();
    for await (const { number, parts, keys } of this.#read(["state", this.#epoch])) {
      this.#lastSegment = number;
      if (parts === undefined) {
        leftovers.push(...keys.map((key) => ({ key, value: undefined })));
        continue;
      }
      const payload = join(parts);
      this.#segments.set(number, { parts: parts.length, bytes: payload.length, records: 0, live: 0 });
      for (const record of decodeSegment(payload)) {
        this.#place(record.key, number);
        take(record);
      }
    }
    await commitAll(this.#disk, leftovers);
    await this.#dropEpoch(otherEpoch(this.#epoch));
  }

  /** Writes what changed since the last checkpoint, then `index`, `term` and what `also` asks for, all at once. */
  async write(
    index: number,
    term: number,
    dirty: Iterable<DirtyRecord>,
    also: () => readonly Mutation[],
  ): Promise<void> {
    const doomed = [...this.#segments].filter(([, segment]) => liveBytes(segment) < MIN_LIVE_BYTES);
    await this.#append(this.#epoch, this.#changesAndSurvivors(dirty, doomed.map(([number]) => number)));
    const deletions = doomed.flatMap(([number, { parts }]) => {
      this.#segments.delete(number);
      return [...deleteParts(["state", this.#epoch, number], parts)];
    });
    await this.#mark(index, term, this.#epoch, [...also(), ...deletions]);
  }

  /** Replaces all records by those of a snapshot, and does what `also` asks for; a crash leaves all or nothing of it. */
  async replace(
    index: number,
    term: number,
    records: Iterable<StateRecord>,
    also: () => readonly Mutation[],
  ): Promise<void> {
    this.#segments.clear();
    this.#where.clear();
    await this.#append(otherEpoch(this.#epoch), records);
    await this.#mark(index, term, otherEpoch(this.#epoch), also());
    await this.#dropEpoch(otherEpoch(this.#epoch));
  }

  async #mark(index: number, term: number, epoch: number, more: readonly Mutation[]): Promise<void> {
    const header = { major: term, minor: index, kind: epoch, part: 0, parts: 1 };
    const mark = { key: CHECKPOINT_KEY, value: seal(CHECKPOINT_KEY, header, new Uint8Array()) };
    await commitAll(this.#disk, [mark, ...more]);
    this.#index = index;
    this.#term = term;
    this.#epoch = epoch;
  }

  /** What is dirty, then what is still alive in `doomed` segments. */
  async *#changesAndSurvivors(dirty: Iterable<DirtyRecord>, doomed: number[]): AsyncIterable<DirtyRecord> {
    for (const record of dirty) {
      if (record.value !== undefined || this.#where.has(record.key)) yield record;
    }
    const oldest = Math.min(...this.#segments.keys());
    for (const number of doomed) {
      for await (const { parts = [] } of this.#read(["state", this.#epoch, number])) {
        for (const record of decodeSegment(join(parts))) {
          if (this.#where.get(record.key) !== number) continue;
          // In the oldest segment, a deletion has nothing left to hide.
          if (record.value === undefined && number === oldest) this.#where.delete(record.key);
          else yield record;
        }
      }
    }
  }

  /** Writes records to new segments. */
  async #append(epoch: number, records: AsyncIterable<DirtyRecord> | Iterable<DirtyRecord>): Promise<void> {
    let pending: DirtyRecord[] = [];
    let bytes = 0;
    const flush = async () => {
      const payload = encodeSegment(pending);
      const number = this.#lastSegment;
      Object.assign(this.#segments.get(number)!, { parts: countParts(payload), bytes: payload.length });
      pending = [];
      bytes = 0;
      await commitAll(
        this.#disk,
        sealParts(["state", epoch, number], { major: 0, minor: number, kind: 0 }, payload),
      );
    };
    for await (const record of records) {
      const size = record.key.length + (record.value?.length ?? 0);
      if (pending.length > 0 && bytes + size > SEGMENT_BYTES) await flush();
      if (pending.length === 0) {
        this.#segments.set(++this.#lastSegment, { parts: 0, bytes: 0, records: 0, live: 0 });
      }
      // At once: what is dirty must be known as replaced before survivors are looked for.
      this.#place(record.key, this.#lastSegment);
      pending.push(record);
      bytes += size;
    }
    if (pending.length > 0) await flush();
  }

  /** The last record of `key` is now in segment `number`. */
  #place(key: string, number: number): void {
    const before = this.#segments.get(this.#where.get(key) ?? 0);
    if (before !== undefined) before.live--;
    const segment = this.#segments.get(number)!;
    segment.records++;
    segment.live++;
    this.#where.set(key, number);
  }

  /** Segments in order; `parts` is undefined for one that was being written or deleted at a crash. */
  async *#read(
    prefix: DiskKey,
  ): AsyncIterable<{ number: number; parts: Uint8Array[] | undefined; keys: DiskKey[] }> {
    let keys: DiskKey[] = [];
    let parts: Uint8Array[] = [];
    let wanted = 0;
    const finish = () => {
      const number = keys[0]![2] as number;
      const isWhole = keys[0]![3] === 0;
      if (isWhole && parts.length !== wanted) {
        throw damaged(keys[0]!, `it has ${parts.length} of ${wanted} parts`);
      }
      return { number, parts: isWhole ? parts : undefined, keys };
    };
    for await (const { key, value } of this.#disk.list(prefix)) {
      if (keys.length > 0 && key[2] !== keys[0]![2]) {
        yield finish();
        keys = [];
        parts = [];
      }
      const header = unseal(key, value);
      wanted = header.parts;
      keys.push(key);
      parts.push(header.payload);
    }
    if (keys.length > 0) yield finish();
  }

  async #dropEpoch(epoch: number): Promise<void> {
    const doomed: Mutation[] = [];
    for await (const { key } of this.#disk.list(["state", epoch])) doomed.push({ key, value: undefined });
    await commitAll(this.#disk, doomed);
  }
}

function liveBytes({ bytes, live, records }: Segment): number {
  return bytes * live / records;
}

function encodeSegment(records: readonly DirtyRecord[]): Uint8Array {
  return cbor.encode(records.map(({ key, value }) => [key, value ?? null]));
}

function decodeSegment(payload: Uint8Array): DirtyRecord[] {
  const records = cbor.decode(payload) as [string, Uint8Array | null][];
  return records.map(([key, value]) => ({ key, value: value ?? undefined }));
}

/** Two epochs are enough: what is left of the other one is deleted before it is used again. */
function otherEpoch(epoch: number): number {
  return 1 - epoch;
}
