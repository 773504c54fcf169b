/** Logs of several sources as one, in the order of their times. Pure: whoever feeds it says what has come and what never will. */
import { entryBytes, type LogEntry } from "./logs.ts";

/**
 * Bytes of the last entries that are kept while sources are still telling what they have, where only so many from the end
 * are wanted. What is more is shown as a gap.
 */
export const MAX_TAIL_BYTES = 4 * 1024 * 1024;

/** Entries of a source that are taken and still stand there: moving the others each time would cost more. */
const MAX_TAKEN = 1000;

/** What a source stands for. */
interface Source {
  id: string;
  queue: LogEntry[];
  /** Its next one is in `queue[from]`. */
  from: number;
  bytes: number;
  /** What it had in the beginning has come: until then everybody waits for its next entry. */
  caughtUp: boolean;
  /** It gives nothing more: it goes with its last entry. */
  leaving: boolean;
}

/**
 * Entries in order. A source gives its own in order; as long as one has not caught up, nothing later than what it may still
 * give is handed out. From then on it is the earliest of what is there.
 */
export class LogMerge {
  readonly #sources = new Map<string, Source>();
  /** Those with an entry, the one with the earliest last. */
  readonly #ready: Source[] = [];
  readonly #tail: LogEntry[] = [];
  #tailFrom = 0;
  #tailBytes = 0;
  #tailCut = false;
  #wanted: number | undefined;
  /** Sources that have not caught up, and those of them that have nothing here. */
  #behind = 0;
  #awaited = 0;
  #size = 0;
  #queuedBytes = 0;

  /** `tail`: of what is there in the beginning only so many from the end; all if undefined. */
  constructor(tail?: number) {
    this.#wanted = tail;
  }

  /** Says that `id` will give entries. */
  add(id: string): void {
    if (this.#sources.has(id)) return;
    this.#sources.set(id, { id, queue: [], from: 0, bytes: 0, caughtUp: false, leaving: false });
    this.#behind++;
    this.#awaited++;
  }

  /** The next entries of `id`; those that it lets wait. */
  push(id: string, entries: readonly LogEntry[]): void {
    const source = this.#sources.get(id);
    if (source === undefined || entries.length === 0) return;
    const wasEmpty = source.from === source.queue.length;
    if (source.from >= MAX_TAKEN) {
      source.queue.splice(0, source.from);
      source.from = 0;
    }
    source.queue.push(...entries);
    const bytes = entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
    source.bytes += bytes;
    this.#queuedBytes += bytes;
    this.#size += entries.length;
    if (!wasEmpty) return;
    if (!source.caughtUp) this.#awaited--;
    this.#enter(source);
  }

  /** What `id` had in the beginning has come, or is not waited for any longer. */
  caughtUp(id: string): void {
    const source = this.#sources.get(id);
    if (source === undefined || source.caughtUp) return;
    source.caughtUp = true;
    this.#behind--;
    if (source.bytes === 0) this.#awaited--;
  }

  /** `id` gives nothing more: what it has given is still handed out. */
  remove(id: string): void {
    this.caughtUp(id);
    const source = this.#sources.get(id);
    if (source?.bytes === 0) this.#sources.delete(id);
    else if (source) source.leaving = true;
  }

  /** Whether all sources have given what they had in the beginning; of that, only what is wanted is left. */
  get hasCaughtUp(): boolean {
    return this.#behind === 0 && this.#wanted === undefined;
  }

  /** Entries that wait. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#queuedBytes + this.#tailBytes;
  }

  /** Bytes of `id` that wait. */
  bytesOf(id: string): number {
    return this.#sources.get(id)?.bytes ?? 0;
  }

  /** Whether anything waits, here or of `id` alone. */
  isEmpty(id?: string): boolean {
    if (id !== undefined) return this.bytesOf(id) === 0;
    return this.#ready.length === 0 && this.#tailFrom === this.#tail.length;
  }

  /** Sources that have not caught up and have nothing here: those that the others wait for. */
  *missing(): Generator<string> {
    if (this.#awaited === 0) return;
    for (const [id, { caughtUp, bytes }] of this.#sources) if (!caughtUp && bytes === 0) yield id;
  }

  /** The next entry in order; undefined if there is none yet. */
  take(): LogEntry | undefined {
    if (this.#wanted !== undefined) {
      this.#gather(this.#wanted);
      if (this.#behind > 0) return undefined;
      this.#wanted = undefined;
    }
    if (this.#tailFrom < this.#tail.length) return this.#fromTail();
    const entry = this.#next();
    if (entry !== undefined) this.#size--;
    return entry;
  }

  /** In the beginning only the last ones are wanted: the others go by, as they come. */
  #gather(wanted: number): void {
    for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
      this.#tail.push(entry);
      this.#tailBytes += entryBytes(entry);
      if (this.#tail.length - this.#tailFrom > wanted) this.#drop();
      while (this.#tailBytes > MAX_TAIL_BYTES) this.#tailCut = this.#drop();
      if (this.#tailFrom > wanted) {
        this.#tail.splice(0, this.#tailFrom);
        this.#tailFrom = 0;
      }
    }
  }

  #drop(): true {
    this.#size--;
    this.#tailBytes -= entryBytes(this.#tail[this.#tailFrom++]!);
    return true;
  }

  #fromTail(): LogEntry {
    if (this.#tailCut) {
      this.#tailCut = false;
      const { TaskID, Time } = this.#tail[this.#tailFrom]!;
      return { TaskID, Time, Stream: "stderr", Data: new Uint8Array(), Lost: 0 };
    }
    const entry = this.#tail[this.#tailFrom++]!;
    this.#size--;
    if (this.#tailFrom === this.#tail.length) {
      this.#tail.length = this.#tailFrom = this.#tailBytes = 0;
    }
    return entry;
  }

  #next(): LogEntry | undefined {
    if (this.#awaited > 0) return undefined;
    const source = this.#ready.pop();
    if (source === undefined) return undefined;
    const entry = source.queue[source.from++]!;
    const bytes = entryBytes(entry);
    source.bytes -= bytes;
    this.#queuedBytes -= bytes;
    if (source.from < source.queue.length) this.#enter(source);
    else {
      source.queue = [];
      source.from = 0;
      if (!source.caughtUp) this.#awaited++;
      if (source.leaving) this.#sources.delete(source.id);
    }
    return entry;
  }

  /** Puts a source where its next entry belongs; of two with the same time the one that was there first comes first. */
  #enter(source: Source): void {
    const { Time } = source.queue[source.from]!;
    let low = 0, high = this.#ready.length;
    while (low < high) {
      const middle = (low + high) >> 1, other = this.#ready[middle]!;
      if (other.queue[other.from]!.Time > Time) low = middle + 1;
      else high = middle;
    }
    this.#ready.splice(low, 0, source);
  }
}
