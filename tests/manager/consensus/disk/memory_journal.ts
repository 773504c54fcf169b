/** A journal's file in memory, whose power can be cut in the middle of a write. */
import { JOURNAL_BYTES, type JournalFile } from "../../../../manager/consensus/disk/journal.ts";

/** Bytes that a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/** What is stored; `open` gives it to one user at a time. */
export class MemoryJournal {
  readonly bytes: Uint8Array = new Uint8Array(JOURNAL_BYTES);
  #user = 0;
  writes = 0;
  /** Writes that still succeed. */
  left = Infinity;
  /** Sectors of the write that fails which get to the disk all the same. */
  torn: (sectors: number) => readonly number[] = () => [];

  open(): JournalFile {
    const user = ++this.#user;
    return {
      path: "the journal",
      read: () => Promise.resolve(this.bytes.slice()),
      close: () => {},
      write: (at, bytes) => {
        const piece = bytes.slice();
        return this.#write(user, at, piece);
      },
    };
  }

  async #write(user: number, at: number, bytes: Uint8Array): Promise<void> {
    await Promise.resolve();
    if (user !== this.#user) return await new Promise(() => {});
    this.writes++;
    if (this.left-- > 0) return this.bytes.set(bytes, at);
    for (const nth of this.torn(bytes.length / SECTOR_BYTES)) {
      const from = nth * SECTOR_BYTES;
      this.bytes.set(bytes.subarray(from, from + SECTOR_BYTES), at + from);
    }
    throw new Error("the test pulled the plug");
  }
}
