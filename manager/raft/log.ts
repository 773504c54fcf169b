import { invariant } from "./invariant.ts";
import type { Storage } from "./storage.ts";
import { type Entry, entrySize, type SnapshotMeta } from "./types.ts";
import { Unstable } from "./unstable.ts";

/** The first entries of `entries` within `maxBytes`, at least one. The same array if all fit. */
function limitBytes(entries: readonly Entry[], maxBytes: number): readonly Entry[] {
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) {
    bytes += entrySize(entries[i]!);
    if (bytes > maxBytes && i > 0) return entries.slice(0, i);
  }
  return entries;
}

/**
 * Stored and unstable entries as one log.
 * Invariants: applied <= handed <= committed <= lastIndex, handed <= stableIndex.
 */
export class RaftLog {
  readonly #storage: Storage;
  readonly #unstable: Unstable;
  #committed: number;
  #handed: number;
  #applied: number;

  /** @throws {RaftInvariantError} if what is stored contradicts itself */
  constructor(storage: Storage) {
    const { hardState, applied } = storage.initialState();
    const last = storage.lastIndex();
    invariant(
      hardState.commit <= last,
      "stored commit index is not beyond the stored log",
      hardState.commit,
      last,
    );
    invariant(applied <= last, "applied index is not beyond the stored log", applied, last);
    const first = storage.firstIndex();
    invariant(applied >= first - 1, "stored log reaches back to what is applied", applied, first);
    this.#storage = storage;
    this.#unstable = new Unstable(last + 1);
    // The commit index is stored only along with entries, so the stored one may be behind what was applied.
    this.#committed = Math.max(hardState.commit, applied);
    this.#handed = this.#applied = applied;
  }

  get committed(): number {
    return this.#committed;
  }

  get applied(): number {
    return this.#applied;
  }

  get lastIndex(): number {
    return this.#unstable.lastIndex;
  }

  /** The last index that is stored and not about to be overwritten; below a snapshot that is still to be stored. */
  get stableIndex(): number {
    return this.#unstable.snapshot ? 0 : this.#unstable.offset - 1;
  }

  get firstIndex(): number {
    const snapshot = this.#unstable.snapshot;
    return snapshot ? snapshot.index + 1 : this.#storage.firstIndex();
  }

  /** The snapshot being installed. */
  get pendingSnapshot(): SnapshotMeta | null {
    return this.#unstable.snapshot;
  }

  get lastTerm(): number {
    const term = this.term(this.lastIndex);
    invariant(term !== undefined, "the last entry has a term", this.lastIndex);
    return term;
  }

  /** The term of `index`; undefined if it is compacted or does not exist. */
  term(index: number): number | undefined {
    if (index > this.lastIndex || index < this.firstIndex - 1) return undefined;
    const term = this.#unstable.term(index);
    if (term !== undefined) return term;
    const stored = this.#storage.term(index);
    invariant(stored !== undefined, "an entry inside of the log has a term", index);
    return stored;
  }

  /** Whether the entry at `index` has `term`. */
  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Entries from `lo` to the end, or without `hi` on, within `maxBytes`, but at least one. */
  entries(lo: number, maxBytes: number, hi = this.lastIndex + 1): readonly Entry[] {
    invariant(lo >= this.firstIndex, "entries are not compacted", lo, this.firstIndex);
    invariant(hi <= this.lastIndex + 1, "entries exist", hi, this.lastIndex);
    if (lo >= hi) return [];
    const { offset } = this.#unstable;
    if (lo >= offset) return limitBytes(this.#unstable.slice(lo, hi), maxBytes);
    const stored = this.#storage.entries(lo, Math.min(hi, offset), maxBytes);
    invariant(stored[0]?.index === lo, "storage returns the entries asked for", stored[0]?.index, lo);
    if (hi <= offset || stored.length < offset - lo) return stored;
    return limitBytes([...stored, ...this.#unstable.slice(offset, hi)], maxBytes);
  }

  /** Adds `entries` to the end of a leader's log. */
  append(entries: readonly Entry[]): void {
    invariant(
      entries[0]?.index === this.lastIndex + 1,
      "a leader only appends",
      entries[0]?.index,
      this.lastIndex,
    );
    this.#unstable.replace(entries);
  }

  /**
   * Takes over a leader's `entries` after `prevIndex` (paper, figure 2, AppendEntries 2 to 4).
   * @returns the index of the first entry that was new, 0 if none was; undefined if the logs differ at `prevIndex`
   */
  merge(prevIndex: number, prevTerm: number, entries: readonly Entry[]): number | undefined {
    if (!this.matches(prevIndex, prevTerm)) return undefined;
    const at = entries.findIndex((entry) => !this.matches(entry.index, entry.term));
    if (at < 0) return 0;
    const fresh = at === 0 ? entries : entries.slice(at);
    const from = fresh[0]!.index;
    invariant(from > this.#committed, "a committed entry is never overwritten", from, this.#committed);
    this.#unstable.replace(fresh);
    return from;
  }

  /**
   * The highest index up to `index` whose term is at most `term`: nothing between can agree with a log that has `term`
   * at `index`. Its term is 0 if it is compacted.
   */
  conflict(index: number, term: number): { index: number; term: number } {
    invariant(index <= this.lastIndex, "the search starts in the log", index, this.lastIndex);
    for (let at = index; at > 0; at--) {
      const here = this.term(at);
      if (here === undefined) return { index: at, term: 0 };
      if (here <= term) return { index: at, term: here };
    }
    return { index: 0, term: 0 };
  }

  /** Whether a log that ends so is at least as complete as this one (paper 5.4.1). */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    const own = this.lastTerm;
    return lastTerm > own || (lastTerm === own && lastIndex >= this.lastIndex);
  }

  commitTo(index: number): void {
    invariant(
      index <= this.lastIndex,
      "commit stays within the log: was the storage lost?",
      index,
      this.lastIndex,
    );
    invariant(index >= this.#committed, "commit never goes back", index, this.#committed);
    this.#committed = index;
  }

  /** Starts over from `snapshot`. */
  restore(snapshot: SnapshotMeta): void {
    invariant(
      snapshot.index > this.#committed,
      "a snapshot brings something new",
      snapshot.index,
      this.#committed,
    );
    this.#committed = snapshot.index;
    this.#unstable.restore(snapshot);
  }

  get hasUnwritten(): boolean {
    return this.#unstable.hasUnwritten;
  }

  startWrite(): { entries: Entry[]; snapshot: SnapshotMeta | null } {
    return this.#unstable.startWrite();
  }

  /** What `startWrite` gave is stored; a snapshot counts as applied. */
  finishWrite(): void {
    const snapshot = this.#unstable.finishWrite();
    if (snapshot) this.#handed = this.#applied = snapshot.index;
    invariant(
      this.#handed <= this.#committed,
      "only what is committed is applied",
      this.#handed,
      this.#committed,
    );
  }

  /** There are entries up to `commit` for the application, and it has finished with the last ones. */
  hasCommitted(commit: number): boolean {
    return this.#handed === this.#applied && this.#handed < Math.min(commit, this.stableIndex);
  }

  /** Hands out the next entries for the application, none beyond `commit`. */
  takeCommitted(commit: number, maxBytes: number): readonly Entry[] {
    invariant(commit <= this.#committed, "only committed entries are handed out", commit, this.#committed);
    invariant(this.hasCommitted(commit), "there are committed entries", commit, this.#handed);
    const entries = this.entries(this.#handed + 1, maxBytes, Math.min(commit, this.stableIndex) + 1);
    this.#handed = entries.at(-1)!.index;
    return entries;
  }

  /** The application has finished with everything to `index`. Old news are ignored, a snapshot may overtake. */
  appliedTo(index: number): void {
    invariant(index <= this.#handed, "only what was handed out is applied", index, this.#handed);
    if (index > this.#applied) this.#applied = index;
  }
}
