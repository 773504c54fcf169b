/** The stored log as the core reads it, in memory, and the disk behind it: duties 2, 8 and 9 of `raft/mod.ts`. */
import type { LogEntry } from "./entry_batch.ts";
import type { DiskStorage, MemberAddress } from "./disk_storage.ts";
import type { OldSnapshot } from "../consensus.ts";
import type { StagedState } from "./staged_state.ts";
import type { DirtyRecord, StateRecord } from "../state_machine.ts";
import {
  bootstrap,
  type ConfState,
  type Entry,
  entrySize,
  type EntryType,
  forceSingleMember,
  type HardState,
  type MemberID,
  MemoryStorage,
  type SnapshotMeta,
  type Storage,
  type WriteBatch,
} from "../../raft/mod.ts";
import type { ArrivedSnapshot } from "./incoming_snapshots.ts";

/** The state that goes to another member with a snapshot. */
export interface SnapshotData {
  addresses: MemberAddress[];
  /** To be read once. */
  records: Iterable<StateRecord>;
}

/** When a checkpoint lets go of entries, and how fast. */
export interface CheckpointPace {
  /** The first entry that somebody still needs. */
  keepFrom: () => number;
  /** Whether to make no pauses. */
  hurries: () => boolean;
}

/** Entries kept behind a checkpoint for followers that are a little late, unless the cluster's spec says otherwise. */
const KEPT_ENTRIES = 500;
/** Bytes of them at most: they are in memory too. */
const KEPT_BYTES = 4 * 1024 * 1024;
/**
 * Bytes of entries kept, and held in memory, for a follower that is busy with a snapshot; more if the state is larger, which
 * it would have to be sent again.
 */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

const NOTHING = new Uint8Array();
const KINDS: readonly EntryType[] = ["normal", "conf_change"];

/** One member's log. Every method that writes rejects with the disk's error, which is final. */
export class RaftDisk implements Storage {
  readonly #disk: DiskStorage;
  readonly #log: MemoryStorage;
  /** Committed entries up to here were looked at for membership changes. */
  #looked = 0;
  /** Entries kept behind a checkpoint, from the next one on: the spec's `LogEntriesForSlowFollowers`. */
  keptEntries = KEPT_ENTRIES;
  /** Makes the metadata of a snapshot for a member, if one can be sent; set by the driver. */
  offer: (to: MemberID) => SnapshotMeta | null = () => null;

  private constructor(disk: DiskStorage, log: MemoryStorage) {
    this.#disk = disk;
    this.#log = log;
  }

  /** Reads the log into memory. Throws `data_loss` if it is damaged. */
  static async open(disk: DiskStorage): Promise<RaftDisk> {
    const { hardState, membership: { confState }, checkpointIndex: applied, log } = disk;
    const skipped = new Map(disk.skipped.entries.map(({ index, term }) => [index, term]));
    let entries = (await Array.fromAsync(log.read(log.firstIndex, log.lastIndex))).map(asEntry)
      // Like the empty entry of a new leader, it changes nothing, here and at whoever still lacks it.
      .map((entry) => skipped.get(entry.index) === entry.term ? { ...entry, data: NOTHING } : entry);
    // The core wants index and term of the entry before its log. If that is not the checkpoint's, the first entry is taken
    // out of the log and stands for it.
    let compacted = { index: log.firstIndex - 1, term: disk.term(log.firstIndex - 1) ?? -1 };
    if (compacted.term < 0) {
      compacted = { index: entries[0]!.index, term: entries[0]!.term };
      entries = entries.slice(1);
    }
    const initial = { hardState, applied, confState };
    return new RaftDisk(disk, MemoryStorage.restore(initial, compacted, entries));
  }

  initialState() {
    return this.#log.initialState();
  }

  firstIndex(): number {
    return this.#log.firstIndex();
  }

  lastIndex(): number {
    return this.#log.lastIndex();
  }

  term(index: number): number | undefined {
    return this.#log.term(index);
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] {
    return this.#log.entries(lo, hi, maxBytes);
  }

  snapshot(to: MemberID): SnapshotMeta | null {
    return this.offer(to);
  }

  /** Index up to which the stored state is complete. */
  get checkpointIndex(): number {
    return this.#disk.checkpointIndex;
  }

  /** Keys of records that are passed over if they cannot be read. */
  get skippedRecords(): readonly string[] {
    return this.#disk.skipped.records;
  }

  get addresses(): MemberAddress[] {
    return this.#disk.membership.addresses;
  }

  /** The state as stored; see `DiskStorage.loadState`. */
  loadState(take: (record: DirtyRecord) => void): Promise<void> {
    return this.#disk.loadState(take);
  }

  /** Starts a new cluster of which this member is the only one. */
  async bootstrap(self: MemberAddress): Promise<void> {
    await this.write(bootstrap([self.memberID]), { addresses: [self], state: this.stage() });
  }

  /** Makes this member the only one, after the others were lost for good. */
  async forceSingleMember(id: MemberID): Promise<void> {
    await this.write(forceSingleMember(this.#log, id), undefined);
  }

  /** Checkpoints kept besides the present one, from the next one on: the spec's `KeepOldSnapshots`. */
  set oldSnapshots(count: number) {
    this.#disk.oldSnapshots = count;
  }

  /** Those that are kept, oldest first. */
  get old(): OldSnapshot[] {
    return this.#disk.old;
  }

  /** See `OldSnapshots.records`. */
  readOld(index: number): AsyncIterable<DirtyRecord> {
    return this.#disk.readOld(index);
  }

  /** Begins to store the state of a snapshot, beside everything else. */
  stage(): StagedState {
    return this.#disk.stage();
  }

  /** Stores a batch, then shows it to the core. A batch with a snapshot comes with the snapshot's state. */
  async write(
    batch: WriteBatch,
    arrived: Omit<ArrivedSnapshot, "image"> | undefined,
  ): Promise<void> {
    const { entries, hardState, snapshot } = batch;
    if (snapshot) {
      const { index, term, confState } = snapshot;
      const { addresses, state } = arrived!;
      const commit = Math.min(hardState.commit, index);
      await this.#disk.install({
        index,
        term,
        state,
        membership: { confState, addresses },
        hardState: { ...hardState, commit },
      });
    }
    // The hard state is written with a vote or a change of membership, and where it is all there is to write; the commit index
    // alone is worth no write.
    const needed = !snapshot &&
      (entries.length === 0 || this.#votedAnew(hardState) || entries.some((e) => e.type === "conf_change") ||
        this.#commitsChange(hardState.commit));
    if (needed || entries.length > 0) {
      await this.#disk.save({ entries: entries.map(asLogEntry), ...(needed && { hardState }) });
    }
    this.#log.write(batch);
  }

  /** Stores what changed in the state as of `index` with the membership there, then drops old entries. */
  async checkpoint(
    index: number,
    dirty: Parameters<DiskStorage["writeCheckpoint"]>[1],
    membership: { confState: ConfState; addresses: MemberAddress[] },
    { keepFrom, hurries }: CheckpointPace,
  ): Promise<void> {
    await this.#disk.writeCheckpoint(index, dirty, membership, hurries);
    this.#log.checkpoint(index, membership.confState);
    const compactTo = Math.min(this.#lastSpare(index), keepFrom() - 1);
    this.#log.compact(compactTo);
    await this.#disk.compactLog(compactTo, hurries);
  }

  /** Whether entries from `from` on are few enough to be kept for one follower. */
  canKeep(from: number): boolean {
    const last = this.lastIndex();
    if (from > last) return true;
    const entries = this.entries(Math.max(from, this.firstIndex()), last + 1, Infinity);
    const bytes = entries.reduce((sum, entry) => sum + entrySize(entry), 0);
    return bytes <= Math.max(MAX_KEPT_BYTES, this.#disk.stateBytes);
  }

  /** The last entry that nobody should need any more after a checkpoint at `index`. */
  #lastSpare(index: number): number {
    let [spare, bytes] = [index, 0];
    const first = this.firstIndex();
    while (spare >= first && index - spare < this.keptEntries) {
      bytes += entrySize(this.entries(spare, spare + 1, 0)[0]!);
      if (bytes > KEPT_BYTES) break;
      spare--;
    }
    return spare;
  }

  /** Whether a membership change is committed since the last look: after a restart its commit must be known. */
  #commitsChange(commit: number): boolean {
    const to = Math.min(commit, this.lastIndex());
    const from = Math.max(this.#looked + 1, this.firstIndex());
    this.#looked = Math.max(this.#looked, to);
    return from <= to && this.entries(from, to + 1, Infinity).some(({ type }) => type === "conf_change");
  }

  #votedAnew({ term, vote }: HardState): boolean {
    const stored = this.#disk.hardState;
    return stored.term !== term || stored.vote !== vote;
  }
}

function asEntry({ index, term, kind, data }: LogEntry): Entry {
  return { index, term, type: KINDS[kind]!, data };
}

function asLogEntry({ index, term, type, data }: Entry): LogEntry {
  return { index, term, kind: KINDS.indexOf(type), data };
}
