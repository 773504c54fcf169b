import { invariant } from "./invariant.ts";
import type { Entry, SnapshotMeta } from "./types.ts";

/**
 * The part of the log that is not known to be stored: perhaps a snapshot, then entries.
 *
 *     stored | being written | not handed out yet
 *            ^offset         ^writing            ^offset + entries.length
 *
 * `writing` moves back when entries being written are overwritten in memory, so that a late acknowledgement of the old
 * ones never passes for one of the new ones, whatever their terms.
 */
export class Unstable {
  #entries: Entry[] = [];
  #offset: number;
  #writing: number;
  #snapshot: SnapshotMeta | null = null;
  #snapshotWriting = false;

  constructor(offset: number) {
    invariant(offset > 0, "offset is positive", offset);
    this.#offset = this.#writing = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get snapshot(): SnapshotMeta | null {
    return this.#snapshot;
  }

  get lastIndex(): number {
    return this.#offset + this.#entries.length - 1;
  }

  /** The term of `index`, if it stands here. */
  term(index: number): number | undefined {
    if (index === this.#snapshot?.index) return this.#snapshot.term;
    return this.#entries[index - this.#offset]?.term;
  }

  /** Entries from `lo` up to and without `hi`, all of which must stand here. */
  slice(lo: number, hi: number): Entry[] {
    invariant(lo >= this.#offset && hi <= this.lastIndex + 1, "entries are unstable", lo, hi);
    invariant(lo <= hi, "a slice is not negative", lo, hi);
    return this.#entries.slice(lo - this.#offset, hi - this.#offset);
  }

  /** Puts `entries` in place of everything from the first one on. */
  replace(entries: readonly Entry[]): void {
    const from = entries[0]?.index;
    invariant(from !== undefined, "there are entries to append");
    invariant(from <= this.lastIndex + 1, "entries leave no gap", from, this.lastIndex);
    if (from <= this.#offset) {
      invariant(!this.#snapshot || from === this.#offset, "a snapshot is not overwritten", from);
      this.#offset = from;
      this.#entries = [];
    } else {
      this.#entries.length = from - this.#offset;
    }
    this.#writing = Math.min(this.#writing, from);
    for (const entry of entries) this.#entries.push(entry);
  }

  /** Puts `snapshot` in place of everything. */
  restore(snapshot: SnapshotMeta): void {
    invariant(snapshot.index > 0, "a snapshot has an index", snapshot.index);
    this.#snapshot = snapshot;
    this.#snapshotWriting = false;
    this.#entries = [];
    this.#offset = this.#writing = snapshot.index + 1;
  }

  /** There is something that was never handed out for writing. */
  get hasUnwritten(): boolean {
    return this.#writing <= this.lastIndex || (this.#snapshot !== null && !this.#snapshotWriting);
  }

  /** Hands out all that is not being written. */
  startWrite(): { entries: Entry[]; snapshot: SnapshotMeta | null } {
    const entries = this.slice(this.#writing, this.lastIndex + 1);
    const snapshot = this.#snapshotWriting ? null : this.#snapshot;
    this.#writing = this.lastIndex + 1;
    this.#snapshotWriting = this.#snapshot !== null;
    invariant(
      this.#writing >= this.#offset,
      "writing starts after what is stored",
      this.#writing,
      this.#offset,
    );
    return { entries, snapshot };
  }

  /** What was handed out is stored. Returns the snapshot, if it was part of it and is still the newest. */
  finishWrite(): SnapshotMeta | null {
    const count = this.#writing - this.#offset;
    invariant(count >= 0 && count <= this.#entries.length, "what was written stands here", count);
    if (count > 0) this.#entries = count === this.#entries.length ? [] : this.#entries.slice(count);
    this.#offset = this.#writing;
    if (!this.#snapshotWriting) return null;
    const snapshot = this.#snapshot;
    this.#snapshot = null;
    this.#snapshotWriting = false;
    return snapshot;
  }
}
