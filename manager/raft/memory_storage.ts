import { members } from "./conf_change.ts";
import { invariant } from "./invariant.ts";
import { EMPTY_CONF_STATE, type InitialState, type Storage } from "./storage.ts";
import { type ConfState, type Entry, entrySize, type HardState, type MemberID, NO_MEMBER } from "./types.ts";
import type { WriteBatch } from "./ready.ts";
import type { SnapshotMeta } from "./types.ts";

/** A log in memory: what a driver keeps in front of its disk, and all that a test needs. Empty at first. */
export class MemoryStorage implements Storage {
  #hardState: HardState = { term: 0, vote: NO_MEMBER, commit: 0 };
  /** `#entries[0]` has index `#first`; `#first - 1` is compacted and had `#compactedTerm`. */
  #entries: Entry[] = [];
  #first = 1;
  #compactedTerm = 0;
  #applied = 0;
  #confState = EMPTY_CONF_STATE;
  #snapshot: SnapshotMeta | null = null;

  /** The storage as it is found after a restart. */
  static restore(
    initial: InitialState,
    compacted: { index: number; term: number },
    entries: Entry[],
  ): MemoryStorage {
    const storage = new MemoryStorage();
    storage.#hardState = initial.hardState;
    storage.#applied = initial.applied;
    storage.#confState = initial.confState;
    storage.#first = compacted.index + 1;
    storage.#compactedTerm = compacted.term;
    if (entries.length > 0) {
      invariant(
        entries[0]!.index === storage.#first,
        "the log follows its start",
        entries[0]!.index,
        storage.#first,
      );
      storage.append(entries);
    }
    return storage;
  }

  initialState(): InitialState {
    return { hardState: this.#hardState, applied: this.#applied, confState: this.#confState };
  }

  firstIndex(): number {
    return this.#first;
  }

  lastIndex(): number {
    return this.#first + this.#entries.length - 1;
  }

  term(index: number): number | undefined {
    if (index === this.#first - 1) return this.#compactedTerm;
    return this.#entries[index - this.#first]?.term;
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] {
    invariant(lo >= this.#first, "entries are not compacted", lo, this.#first);
    invariant(lo < hi && hi <= this.lastIndex() + 1, "entries exist", hi, this.lastIndex());
    const from = lo - this.#first;
    let [to, bytes] = [from, 0];
    while (to < hi - this.#first) {
      bytes += entrySize(this.#entries[to]!);
      if (bytes > maxBytes && to > from) break;
      to++;
    }
    return this.#entries.slice(from, to);
  }

  snapshot(to: MemberID): SnapshotMeta | null {
    const snapshot = this.#snapshot;
    return snapshot && members(snapshot.confState).includes(to) ? snapshot : null;
  }

  /** Makes the storage show `batch`. */
  write(batch: WriteBatch): void {
    if (batch.snapshot) this.installSnapshot(batch.snapshot);
    this.append(batch.entries);
    this.#hardState = batch.hardState;
    invariant(batch.hardState.commit <= this.lastIndex(), "commit is stored", batch.hardState.commit);
  }

  /** Replaces everything from `entries[0].index` on. */
  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const at = entries[0]!.index - this.#first;
    invariant(at >= 0 && at <= this.#entries.length, "appended entries leave no gap", entries[0]!.index);
    this.#entries.length = at;
    for (const entry of entries) this.#entries.push(entry);
  }

  /** Replaces the whole log by `meta`, which was received. */
  installSnapshot(meta: SnapshotMeta): void {
    invariant(meta.index >= this.#first, "a snapshot is newer than the log's start", meta.index, this.#first);
    this.#entries = [];
    this.#first = meta.index + 1;
    this.#compactedTerm = meta.term;
    this.#snapshot = meta;
    this.checkpoint(meta.index, meta.confState);
  }

  /** The application has stored everything to `applied`; `confState` is the membership there. */
  checkpoint(applied: number, confState: ConfState): void {
    invariant(applied >= this.#applied, "checkpoints grow", applied, this.#applied);
    this.#applied = applied;
    this.#confState = confState;
  }

  /** Offers a snapshot of everything to the checkpoint, to be sent to followers. */
  offerSnapshot(): SnapshotMeta {
    const term = this.term(this.#applied);
    invariant(term !== undefined, "the checkpoint is in the log", this.#applied);
    this.#snapshot = { index: this.#applied, term, confState: this.#confState };
    return this.#snapshot;
  }

  /** Drops the entries up to and with `index`, which must be covered by the checkpoint. */
  compact(index: number): void {
    invariant(index <= this.#applied, "only what is stored elsewhere is compacted", index, this.#applied);
    if (index < this.#first) return;
    const term = this.term(index);
    invariant(term !== undefined, "the compacted entry exists", index);
    this.#entries = this.#entries.slice(index + 1 - this.#first);
    this.#first = index + 1;
    this.#compactedTerm = term;
  }
}
