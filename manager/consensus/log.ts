/**
 * The log on disk: entries under `log/INDEX/PART`. The first part of an entry is written last, so an entry
 * that has it is whole; one without it was being written or deleted when the power went, and nobody was
 * told of it.
 */
import { commitAll, type Disk, type DiskKey, type Mutation } from "./disk.ts";
import { countParts, damaged, deleteParts, join, type RecordHeader, sealParts, unseal } from "./record.ts";

/** One entry of the log. */
export interface LogEntry {
  index: number;
  term: number;
  /** What `data` is, for the member: an entry of the state machine, a change of membership, … 0 to 255. */
  kind: number;
  data: Uint8Array;
}

interface Known {
  term: number;
  parts: number;
}

/** Entries `firstIndex` to `lastIndex`, without gaps. */
export class Log {
  readonly #disk: Disk;
  #known: Known[] = [];
  #first: number;

  private constructor(disk: Disk, first: number) {
    this.#disk = disk;
    this.#first = first;
  }

  /**
   * Reads and checks the log that follows a state as of `stateIndex`, whose entry there had `stateTerm`; drops an
   * unfinished entry at its end, leftovers of a compaction at its beginning, and a log that a snapshot replaced.
   * Throws `data_loss` if an entry is damaged or missing.
   */
  static async open(disk: Disk, stateIndex: number, stateTerm: number): Promise<Log> {
    const log = new Log(disk, stateIndex + 1);
    const unfinished: { index: number; key: DiskKey }[] = [];
    for await (const { key, value } of disk.list(["log"])) {
      const [, index, part] = key as [string, number, number];
      const header = unseal(key, value);
      if (header.minor !== index || header.part !== part) throw damaged(key, "it belongs elsewhere");
      if (part === 0) log.#admit(key, index, header);
      else if (log.#isNextPart(index, header, part)) log.#seen++;
      else unfinished.push({ index, key });
    }
    log.#checkWhole();
    for (const { index, key } of unfinished) {
      const harmless = index <= stateIndex || index > log.lastIndex;
      if (!harmless) throw damaged(key, "its entry is not whole");
    }
    await commitAll(disk, unfinished.map(({ key }) => ({ key, value: undefined })));
    const term = log.term(stateIndex);
    const replaced = term !== undefined && term !== stateTerm && log.lastIndex === stateIndex;
    if (log.lastIndex < stateIndex || replaced) await log.reset(stateIndex);
    if (log.#first > stateIndex + 1) throw damaged(["log", stateIndex + 1, 0], "it is missing");
    return log;
  }

  /** Parts of the last entry read so far; used while opening. */
  #seen = 0;

  /** Index of the first entry held; `lastIndex + 1` if there is none. */
  get firstIndex(): number {
    return this.#first;
  }

  /** Index of the last entry, or of the state before the log if there is none. */
  get lastIndex(): number {
    return this.#first + this.#known.length - 1;
  }

  /** Term of an entry; undefined outside of the log. */
  term(index: number): number | undefined {
    return this.#known[index - this.#first]?.term;
  }

  /** What to commit so that `entries` follow the last one. */
  *appending(entries: readonly LogEntry[]): Iterable<Mutation> {
    const from = entries[0]?.index;
    if (from === undefined) return;
    if (from !== this.lastIndex + 1) {
      throw new RangeError(`Cannot append entry ${from}: the log has ${this.#first} to ${this.lastIndex}`);
    }
    for (const entry of entries) {
      const header = { major: entry.term, minor: entry.index, kind: entry.kind };
      yield* sealParts(["log", entry.index], header, entry.data);
      this.#known.push({ term: entry.term, parts: countParts(entry.data) });
    }
  }

  /** Entries from `from` up to and including `to`. Throws `data_loss` if one is damaged. */
  async *read(from: number, to: number): AsyncIterable<LogEntry> {
    let next = from;
    let parts: Uint8Array[] = [];
    for await (const { key, value } of this.#disk.list(["log"], ["log", from])) {
      if (next > to) return;
      const { payload, major, minor, kind, part, parts: count } = unseal(key, value);
      if (minor !== next || part !== parts.length) {
        throw damaged(["log", next, parts.length], "it is missing");
      }
      parts.push(payload);
      if (parts.length < count) continue;
      yield { index: next++, term: major, kind, data: join(parts) };
      parts = [];
    }
    if (next <= to) throw damaged(["log", next, parts.length], "it is missing");
  }

  /** Deletes entries from `index` on, the last one first. A crash leaves a shorter log. */
  async dropFrom(index: number): Promise<void> {
    const mutations: Mutation[] = [];
    for (let last = this.lastIndex; last >= Math.max(index, this.#first); last--) {
      mutations.push(...this.#deleting(last));
    }
    this.#known.length = Math.min(this.#known.length, Math.max(0, index - this.#first));
    await commitAll(this.#disk, mutations);
  }

  /** Deletes entries up to and including `index`. */
  async compact(index: number): Promise<void> {
    const count = Math.min(index, this.lastIndex) - this.#first + 1;
    if (count <= 0) return;
    const mutations = Array.from({ length: count }, (_, i) => [...this.#deleting(this.#first + i)]).flat();
    this.#known.splice(0, count);
    this.#first += count;
    await commitAll(this.#disk, mutations);
  }

  /** Deletes all entries, which a state as of `index` replaces. */
  async reset(index: number): Promise<void> {
    await this.compact(this.lastIndex);
    this.#first = index + 1;
  }

  #deleting(index: number): Iterable<Mutation> {
    return deleteParts(["log", index], this.#known[index - this.#first]!.parts);
  }

  #admit(key: DiskKey, index: number, { major, parts }: RecordHeader): void {
    this.#checkWhole();
    if (this.#known.length === 0) this.#first = index;
    else if (index !== this.lastIndex + 1) throw damaged(["log", this.lastIndex + 1, 0], "it is missing");
    if (parts < 1) throw damaged(key, "it has no parts");
    this.#known.push({ term: major, parts });
    this.#seen = 1;
  }

  #isNextPart(index: number, header: RecordHeader, part: number): boolean {
    const last = this.#known.at(-1);
    return last !== undefined && index === this.lastIndex && part === this.#seen && part < last.parts &&
      header.major === last.term && header.parts === last.parts;
  }

  #checkWhole(): void {
    const last = this.#known.at(-1);
    if (last !== undefined && this.#seen < last.parts) {
      throw damaged(["log", this.lastIndex, this.#seen], "it is missing");
    }
  }
}
