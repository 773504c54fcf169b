/**
 * One state on disk: segments of many records under `state/EPOCH/SEGMENT/PART`. Of two records with one key, the one in
 * the later segment counts; one without a value is a deletion. Segments are never changed, so an SD card sees few,
 * long writes; one that is mostly dead is copied into the next checkpoint.
 */
import { Encoder } from "cbor-x/index-no-eval";
import type { BulkWriter } from "./bulk_writer.ts";
import type { Disk, DiskKey, Mutation } from "./disk.ts";
import { countParts, damaged, deleteParts, join, sealParts, unseal } from "./record.ts";
import type { DirtyRecord } from "../state_machine.ts";

interface Segment {
  parts: number;
  bytes: number;
  records: number;
  /** Records that no later segment replaces. */
  live: number;
}

/** A segment as it was read. */
interface ReadSegment {
  number: number;
  /** Undefined for one that was being written or deleted at a crash. */
  parts: Uint8Array[] | undefined;
  keys: DiskKey[];
}

/** A segment is closed when it has this many bytes: many records share a write, and one is read at once. */
const SEGMENT_BYTES = 512 * 1024;
/** A segment with fewer live bytes is copied and deleted: half of what is on disk is alive. */
const MIN_LIVE_BYTES = SEGMENT_BYTES / 2;

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** The segments of one epoch. */
export class Segments {
  readonly epoch: number;
  readonly #disk: Disk;
  readonly #segments = new Map<number, Segment>();
  /** The segment in which each key was last written. */
  readonly #where = new Map<string, number>();
  #last = 0;
  /** Records of the last segment, which is not written yet. */
  #pending: DirtyRecord[] = [];
  #pendingBytes = 0;

  constructor(disk: Disk, epoch: number) {
    this.#disk = disk;
    this.epoch = epoch;
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#segments.values().reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Gives `take` the records of all segments, of two with one key the older one first; what is to be deleted, of this and
   * of other epochs, is what remains of a crash. Throws `data_loss` if a segment is damaged.
   */
  async load(take: (record: DirtyRecord) => void): Promise<Mutation[]> {
    const leftovers: DiskKey[] = [];
    for await (const { number, parts, keys } of this.#read(["state"], leftovers)) {
      this.#last = number;
      if (parts === undefined) {
        leftovers.push(...keys);
        continue;
      }
      const payload = join(parts);
      this.#segments.set(number, { parts: parts.length, bytes: payload.length, records: 0, live: 0 });
      for (const record of decodeSegment(payload)) {
        this.#place(record.key, number);
        take(record);
      }
    }
    return leftovers.map((key) => ({ key, value: undefined }));
  }

  /** Writes records to new segments; the last of these waits for more, or for {@linkcode flush}. */
  async append(
    records: AsyncIterable<DirtyRecord> | Iterable<DirtyRecord>,
    writer: BulkWriter,
  ): Promise<void> {
    for await (const record of records) {
      const size = record.key.length + (record.value?.length ?? 0);
      if (this.#pending.length > 0 && this.#pendingBytes + size > SEGMENT_BYTES) await this.flush(writer);
      if (this.#pending.length === 0) {
        this.#segments.set(++this.#last, { parts: 0, bytes: 0, records: 0, live: 0 });
      }
      // Noted before it is written: whoever looks for records that are still valid must not take the old one for such.
      this.#place(record.key, this.#last);
      this.#pending.push(record);
      this.#pendingBytes += size;
    }
  }

  /** Writes the segment that is not full. */
  async flush(writer: BulkWriter): Promise<void> {
    if (this.#pending.length === 0) return;
    const payload = cbor.encode(this.#pending.map(({ key, value }) => [key, value ?? null]));
    Object.assign(this.#segments.get(this.#last)!, { parts: countParts(payload), bytes: payload.length });
    this.#pending = [];
    this.#pendingBytes = 0;
    const header = { major: 0, minor: this.#last, kind: 0 };
    await writer.commit(sealParts(["state", this.epoch, this.#last], header, payload));
  }

  /** Numbers of all segments. */
  get numbers(): number[] {
    return [...this.#segments.keys()];
  }

  /** Numbers of segments that are mostly dead. */
  doomed(): number[] {
    return [...this.#segments].filter(([, segment]) => liveBytes(segment) < MIN_LIVE_BYTES)
      .map(([number]) => number);
  }

  /** What is `dirty`, then what is still alive in `doomed` segments. */
  async *changesAndSurvivors(dirty: Iterable<DirtyRecord>, doomed: number[]): AsyncIterable<DirtyRecord> {
    for (const record of dirty) {
      if (record.value !== undefined || this.#where.has(record.key)) yield record;
    }
    const oldest = Math.min(...this.#segments.keys());
    for (const number of doomed) {
      for await (const { parts = [] } of this.#read(["state", this.epoch, number])) {
        for (const record of decodeSegment(join(parts))) {
          if (this.#where.get(record.key) !== number) continue;
          // A deletion is kept to hide older values of its key. Older than the oldest segment there are none.
          if (record.value === undefined && number === oldest) this.#where.delete(record.key);
          else yield record;
        }
      }
    }
  }

  /** Forgets segments; by default all. Returns what to commit so that they are gone from the disk. */
  remove(numbers: Iterable<number> = [...this.#segments.keys()]): Mutation[] {
    const mutations: Mutation[] = [];
    for (const number of numbers) {
      mutations.push(...deleteParts(["state", this.epoch, number], this.#segments.get(number)!.parts));
      this.#segments.delete(number);
    }
    return mutations;
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

  /** Segments under `prefix`, in order; keys of other epochs go to `strays`, unread. */
  async *#read(prefix: DiskKey, strays: DiskKey[] = []): AsyncIterable<ReadSegment> {
    let keys: DiskKey[] = [];
    let parts: Uint8Array[] = [];
    let wanted = 0;
    const finish = (): ReadSegment => {
      const number = keys[0]![2] as number;
      const isWhole = keys[0]![3] === 0;
      if (isWhole && parts.length !== wanted) {
        throw damaged(keys[0]!, `it has ${parts.length} of ${wanted} parts`);
      }
      return { number, parts: isWhole ? parts : undefined, keys };
    };
    for await (const { key, value } of this.#disk.list(prefix)) {
      if (key[1] !== this.epoch) {
        strays.push(key);
        continue;
      }
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
}

function liveBytes({ bytes, live, records }: Segment): number {
  return bytes * live / records;
}

/** The records in a segment's payload. */
export function decodeSegment(payload: Uint8Array): DirtyRecord[] {
  const records = cbor.decode(payload) as [string, Uint8Array | null][];
  return records.map(([key, value]) => ({ key, value: value ?? undefined }));
}
