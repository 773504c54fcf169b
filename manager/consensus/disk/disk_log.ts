/**
 * The log on disk: batches of entries under `log/FIRST_INDEX/PART`, as `entry_batch.ts` describes them. The first part of a
 * batch is written last, so a batch that has it is whole; one without it was being written or deleted when the power went,
 * and nobody was told of it.
 */
import type { BulkWriter } from "./bulk_writer.ts";
import { commitAll, type Disk, type DiskKey, type Mutation } from "./disk.ts";
import { batchesOf, decodeBatch, encodeBatch, type LogEntry } from "./entry_batch.ts";
import { countParts, damaged, deleteParts, join, type RecordHeader, sealParts, unseal } from "./record.ts";

/** A batch as it stands on disk. */
interface Batch {
  first: number;
  /** Of each entry. */
  terms: number[];
  parts: number;
}

/** What was read under the keys of one batch. */
interface ReadBatch {
  first: number;
  /** Undefined if the first part is missing. */
  entries: LogEntry[] | undefined;
  parts: number;
  keys: DiskKey[];
}

/** Entries `firstIndex` to `lastIndex`, without gaps. */
export class DiskLog {
  readonly #disk: Disk;
  #batches: Batch[] = [];
  #next: number;

  private constructor(disk: Disk, next: number) {
    this.#disk = disk;
    this.#next = next;
  }

  /**
   * Reads and checks the log that follows a state as of `stateIndex`, whose entry there had `stateTerm`; drops an
   * unfinished batch at its end, leftovers of a compaction at its beginning, and a log that a snapshot replaced.
   * Throws `data_loss` naming the record if a batch is damaged or missing.
   */
  static async open(disk: Disk, stateIndex: number, stateTerm: number): Promise<DiskLog> {
    const log = new DiskLog(disk, stateIndex + 1);
    const unfinished: ReadBatch[] = [];
    for await (const batch of log.#read(["log"])) {
      const { first, entries, parts } = batch;
      if (entries === undefined) {
        unfinished.push(batch);
        continue;
      }
      if (log.#batches.length > 0 && first !== log.#next) {
        throw damaged(["log", log.#next, 0], "it is missing");
      }
      log.#batches.push({ first, terms: entries.map(({ term }) => term), parts });
      log.#next = first + entries.length;
    }
    for (const { first, keys } of unfinished) {
      const harmless = first <= stateIndex || first > log.lastIndex;
      if (!harmless) throw damaged(keys[0]!, "its batch is not whole");
    }
    await commitAll(disk, unfinished.flatMap(({ keys }) => keys.map((key) => ({ key, value: undefined }))));
    const term = log.term(stateIndex);
    const replaced = term !== undefined && term !== stateTerm && log.lastIndex === stateIndex;
    if (log.lastIndex < stateIndex || replaced) await log.reset(stateIndex);
    if (log.firstIndex > stateIndex + 1) throw damaged(["log", stateIndex + 1, 0], "it is missing");
    return log;
  }

  /** Index of the first entry held; `lastIndex + 1` if there is none. */
  get firstIndex(): number {
    return this.#batches[0]?.first ?? this.#next;
  }

  /** Index of the last entry, or of the state before the log if there is none. */
  get lastIndex(): number {
    return this.#next - 1;
  }

  /** Term of an entry; undefined outside of the log. */
  term(index: number): number | undefined {
    const batch = this.#batches[this.#find(index)];
    return batch?.terms[index - batch.first];
  }

  /** What to commit so that `entries` follow the last one. */
  *appending(entries: readonly LogEntry[]): Iterable<Mutation> {
    const from = entries[0]?.index;
    if (from === undefined) return;
    if (from !== this.#next) {
      throw new RangeError(
        `Cannot append entry ${from}: the log has ${this.firstIndex} to ${this.lastIndex}`,
      );
    }
    for (const batch of batchesOf(entries)) yield* this.#appendBatch(batch);
  }

  /** Entries from `from` up to and including `to`. Throws `data_loss` if one is damaged or missing. */
  async *read(from: number, to: number): AsyncIterable<LogEntry> {
    let next = from;
    const start = this.#batches[this.#find(from)]?.first ?? from;
    for await (const { first, entries } of this.#read(["log"], ["log", start])) {
      if (next > to) return;
      if (entries === undefined || first > next) throw damaged(["log", next, 0], "it is missing");
      for (const entry of entries) {
        if (entry.index !== next || next > to) continue;
        yield entry;
        next++;
      }
    }
    if (next <= to) throw damaged(["log", next, 0], "it is missing");
  }

  /** Deletes entries from `index` on, the last ones first. A crash leaves a shorter log. */
  async dropFrom(index: number): Promise<void> {
    const mutations: Mutation[] = [];
    while (this.lastIndex >= index && this.#batches.length > 0) {
      const { first, parts } = this.#batches.pop()!;
      this.#next = first;
      if (first >= index) mutations.push(...deleteParts(["log", first], parts));
      else {
        // Only entries of a batch's end are replaced: what comes before them is written as a batch of its own. A batch of several
        // entries has a single part, so this takes no further commit.
        mutations.push(...this.#appendBatch(await this.#beginningOf(first, index - first)));
      }
    }
    await commitAll(this.#disk, mutations);
  }

  /** Deletes entries up to and including `index`, as far as whole batches consist of them; at once, or as `writer` does. */
  async compact(index: number, writer?: BulkWriter): Promise<void> {
    const doomed = this.#batches.filter(({ first, terms }) => first + terms.length - 1 <= index);
    this.#batches.splice(0, doomed.length);
    const deletions = doomed.flatMap(({ first, parts }) => [...deleteParts(["log", first], parts)]);
    await (writer ? writer.commit(deletions) : commitAll(this.#disk, deletions));
  }

  /** Deletes all entries, which a state as of `index` replaces. */
  async reset(index: number): Promise<void> {
    await this.compact(this.lastIndex);
    this.#next = index + 1;
  }

  *#appendBatch(batch: readonly LogEntry[]): Iterable<Mutation> {
    const first = batch[0]!.index;
    const payload = encodeBatch(batch);
    yield* sealParts(["log", first], { major: batch.length, minor: first, kind: 0 }, payload);
    this.#batches.push({ first, terms: batch.map(({ term }) => term), parts: countParts(payload) });
    this.#next = first + batch.length;
  }

  /** The first `count` entries of a stored batch. */
  async #beginningOf(first: number, count: number): Promise<LogEntry[]> {
    for await (const { entries } of this.#read(["log", first])) if (entries) return entries.slice(0, count);
    throw damaged(["log", first, 0], "it is missing");
  }

  /** Position of the batch that holds the entry at `index`; -1 if none does. */
  #find(index: number): number {
    if (index < this.firstIndex || index > this.lastIndex) return -1;
    let [from, to] = [0, this.#batches.length];
    while (to - from > 1) {
      const middle = (from + to) >> 1;
      if (this.#batches[middle]!.first <= index) from = middle;
      else to = middle;
    }
    return from;
  }

  /** Batches in order. */
  async *#read(prefix: DiskKey, start?: DiskKey): AsyncIterable<ReadBatch> {
    let parts: Part[] = [];
    for await (const { key, value } of this.#disk.list(prefix, start)) {
      const header = unseal(key, value);
      if (header.minor !== key[1] || header.part !== key[2]) throw damaged(key, "it belongs elsewhere");
      if (parts.length > 0 && header.minor !== parts[0]!.minor) {
        yield joinBatch(parts);
        parts = [];
      }
      parts.push(header);
    }
    if (parts.length > 0) yield joinBatch(parts);
  }
}

type Part = RecordHeader & { payload: Uint8Array };

/** Puts the parts of one batch together. */
function joinBatch(parts: readonly Part[]): ReadBatch {
  const { minor: first, major: count, parts: wanted, part } = parts[0]!;
  const keys = parts.map(({ part }): DiskKey => ["log", first, part]);
  if (part !== 0) return { first, entries: undefined, parts: wanted, keys };
  const gap = parts.findIndex((each, nth) => each.part !== nth);
  if (gap >= 0 || parts.length < wanted) {
    throw damaged(["log", first, gap < 0 ? parts.length : gap], "it is missing");
  }
  const entries = decodeBatch(first, join(parts.map(({ payload }) => payload)));
  if (parts.length > wanted || entries?.length !== count) {
    throw damaged(keys[0]!, "its entries are not whole");
  }
  return { first, entries, parts: wanted, keys };
}
