/**
 * All that a member keeps on disk: its identity, term and vote, the membership, the log, and the state. It
 * knows nothing of who may write; the single member and the Raft driver both stand on it.
 */
import { Encoder } from "cbor-x/index-no-eval";
import type { Clock } from "../../../api/clock.ts";
import { CoveyError } from "../../../api/errors.ts";
import { type ConfState, EMPTY_CONF_STATE, type HardState } from "../../raft/mod.ts";
import type { DirtyRecord } from "../state_machine.ts";
import { BulkWriter } from "./bulk_writer.ts";
import { Checkpoint } from "./checkpoint.ts";
import { commitAll, type Disk, fitsOneCommit, MAX_COMMIT_BYTES, type Mutation } from "./disk.ts";
import type { LogEntry } from "./entry_batch.ts";
import { DiskLog } from "./disk_log.ts";
import { damaged, MAX_PAYLOAD_BYTES, seal, unseal } from "./record.ts";
import type { OldSnapshot } from "../consensus.ts";
import type { StagedState } from "./staged_state.ts";

/** Who this member is; written once. */
export interface Identity {
  memberID: number;
  nodeID: string;
  /** It started its cluster; others wait to be added to one, however often they are restarted. */
  founder: boolean;
}

/** Where a member is found. */
export interface MemberAddress {
  memberID: number;
  nodeID: string;
  /** HOST:PORT */
  address: string;
}

/** The members as of the checkpoint: who votes, as Raft says it, and where they are. */
export interface StoredMembership {
  confState: ConfState;
  addresses: MemberAddress[];
}

/** What an operator had this member pass over, because it cannot be read. */
export interface Skipped {
  entries: readonly { index: number; term: number }[];
  /** Keys of the state's records; each counts only while it cannot be read. */
  records: readonly string[];
}

/** What becomes durable together. */
export interface Save {
  /** Left out if neither term nor vote changed and no entry changes the membership: one record less to write. */
  hardState?: HardState;
  /** Follow each other; replace the log from the first one's index on. */
  entries?: readonly LogEntry[];
}

/** Everything that a snapshot from another member, or the start of a cluster, replaces. */
export interface Image {
  index: number;
  term: number;
  membership: StoredMembership;
  hardState: HardState;
  /** All records, added and ended. */
  state: StagedState;
}

interface Named {
  identity: Identity | undefined;
  hardState: HardState;
  membership: StoredMembership;
  skipped: Skipped;
}

/** How all records are laid out; stands in the identity's. 2: log entries in batches. */
const STORAGE_FORMAT = 2;

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** A member's disk. Any error while writing is final: see {@linkcode Disk}. */
export class DiskStorage {
  readonly #disk: Disk;
  readonly #clock: Clock | undefined;
  readonly #checkpoint: Checkpoint;
  readonly log: DiskLog;
  #named: Named = {
    identity: undefined,
    hardState: { term: 0, vote: 0, commit: 0 },
    membership: { confState: EMPTY_CONF_STATE, addresses: [] },
    skipped: { entries: [], records: [] },
  };

  private constructor(disk: Disk, clock: Clock | undefined, checkpoint: Checkpoint, log: DiskLog) {
    this.#disk = disk;
    this.#clock = clock;
    this.#checkpoint = checkpoint;
    this.log = log;
  }

  /**
   * Reads and checks everything but the state. With a `clock`, long writes leave the disk to short ones in between. Throws
   * `data_loss` naming a damaged record, `failed_precondition` if another version of this program wrote in a format of its
   * own.
   */
  static async open(disk: Disk, clock?: Clock): Promise<DiskStorage> {
    await checkFormat(disk);
    const checkpoint = await Checkpoint.open(disk, clock);
    const log = await DiskLog.open(disk, checkpoint.index, checkpoint.term);
    const storage = new DiskStorage(disk, clock, checkpoint, log);
    let membershipIndex = -1;
    for await (const { key, value } of disk.list(["member"])) {
      const name = key[1] as keyof Named;
      if (!Object.hasOwn(storage.#named, name)) throw damaged(key, "there is no such record");
      const { payload, minor } = unseal(key, value);
      // An earlier version wrote no index with it: then it is that of the checkpoint.
      if (name === "membership") membershipIndex = minor === 0 ? checkpoint.index : minor;
      Object.assign(storage.#named, { [name]: cbor.decode(payload) });
    }
    // A state and a list of members of different times do not go together: a minority might take itself for a majority.
    if (checkpoint.index > 0 && membershipIndex !== checkpoint.index) {
      throw damaged(["member", "membership"], `it is not as of the checkpoint's index ${checkpoint.index}`);
    }
    return storage;
  }

  get identity(): Identity | undefined {
    return this.#named.identity;
  }

  get hardState(): HardState {
    return this.#named.hardState;
  }

  get membership(): StoredMembership {
    return this.#named.membership;
  }

  get skipped(): Skipped {
    return this.#named.skipped;
  }

  /** Remembers more to pass over; what the log holds no longer is forgotten. */
  async skip({ entries, records }: Skipped): Promise<void> {
    const before = this.#named.skipped;
    const skipped = {
      entries: [...before.entries, ...entries].filter(({ index }) => index >= this.log.firstIndex),
      records: [...new Set([...before.records, ...records])],
    };
    await this.#disk.commit([this.#setting("skipped", skipped)]);
    this.#named.skipped = skipped;
  }

  /** Index up to which the stored state is complete; the log goes on from there. */
  get checkpointIndex(): number {
    return this.#checkpoint.index;
  }

  /** Term of an entry of the log, or of the checkpoint's last one; undefined for others. */
  term(index: number): number | undefined {
    return this.log.term(index) ?? (index === this.#checkpoint.index ? this.#checkpoint.term : undefined);
  }

  /** Writes who this member is. */
  async saveIdentity(identity: Identity): Promise<void> {
    this.#named.identity = identity;
    await this.#disk.commit([this.#setting("identity", identity)]);
  }

  /**
   * Makes everything in `save` durable: one sync, unless it is larger than a commit. Then a crash leaves some of the
   * entries, never without the term and vote, and never with a commit index beyond them.
   */
  async save({ entries = [], hardState }: Save): Promise<void> {
    if (entries.length > 0 && entries[0]!.index <= this.log.lastIndex) {
      await this.log.dropFrom(entries[0]!.index);
    }
    if (hardState !== undefined) this.#named.hardState = hardState;
    if (entries.length === 0) {
      if (hardState !== undefined) await this.#disk.commit([this.#setting("hardState", hardState)]);
      return;
    }
    for (const piece of piecesOf(entries)) {
      const mutations = [...this.log.appending(piece)];
      const whole = fitsOneCommit(mutations);
      const last = whole ? piece.at(-1)!.index : piece[0]!.index - 1;
      if (hardState !== undefined) {
        const commit = Math.min(hardState.commit, last);
        mutations.unshift(this.#setting("hardState", { ...hardState, commit }));
      }
      await commitAll(this.#disk, mutations);
    }
  }

  /** Gives `take` the records as of {@linkcode checkpointIndex}, some possibly newer; see {@linkcode Checkpoint.load}. */
  loadState(take: (record: DirtyRecord) => void): Promise<void> {
    return this.#checkpoint.load(take);
  }

  /**
   * Writes the dirty records of the state as of `index`, and the membership there, without pauses while `hurries`. The log
   * may be compacted up to `index` afterwards.
   */
  writeCheckpoint(
    index: number,
    dirty: Iterable<DirtyRecord>,
    membership: StoredMembership,
    hurries?: () => boolean,
  ): Promise<void> {
    return this.#checkpoint.write(index, this.#termOf(index), dirty, () => {
      this.#named.membership = membership;
      return [this.#setting("membership", membership, index)];
    }, hurries);
  }

  /** How many checkpoints before the present one are kept, from the next one on. */
  set oldSnapshots(count: number) {
    this.#checkpoint.keepOld = count;
  }

  /** Those that are kept, oldest first. */
  get old(): OldSnapshot[] {
    return this.#checkpoint.old;
  }

  /** See `OldSnapshots.records`. */
  readOld(index: number): AsyncIterable<DirtyRecord> {
    return this.#checkpoint.readOld(index);
  }

  /** Deletes entries up to and including `index`, without pauses while `hurries`; see `DiskLog.compact`. */
  compactLog(index: number, hurries?: () => boolean): Promise<void> {
    return this.log.compact(index, new BulkWriter(this.#disk, { clock: this.#clock, hurries }));
  }

  /** Bytes of the state on disk. */
  get stateBytes(): number {
    return this.#checkpoint.bytes;
  }

  /** Begins a state for {@linkcode install}, beside the present one. */
  stage(): StagedState {
    return this.#checkpoint.stage();
  }

  /**
   * Replaces state, log, membership, term and vote. A crash leaves the old state or the new. Entries beyond the
   * image's index were never committed, or the log would agree with it; they must be gone before it counts.
   */
  async install({ index, term, membership, hardState, state }: Image): Promise<void> {
    await this.log.dropFrom(index + 1);
    await this.#checkpoint.replace(index, term, state, () => {
      Object.assign(this.#named, { membership, hardState });
      return [this.#setting("membership", membership, index), this.#setting("hardState", hardState)];
    });
    await this.log.reset(index);
  }

  #termOf(index: number): number {
    const term = this.term(index);
    if (term === undefined) {
      throw new RangeError(`Cannot write a checkpoint: entry ${index} is not in the log`);
    }
    return term;
  }

  #setting(name: keyof Named, value: unknown, index = 0): Mutation {
    const key = ["member", name];
    const payload = cbor.encode(value);
    if (payload.length > MAX_PAYLOAD_BYTES) {
      throw new RangeError(`Cannot write ${name}: ${payload.length} bytes`);
    }
    const kind = name === "identity" ? STORAGE_FORMAT : 0;
    return { key, value: seal(key, { major: 0, minor: index, kind, part: 0, parts: 1 }, payload) };
  }
}

async function checkFormat(disk: Disk): Promise<void> {
  const key = ["member", "identity"];
  const value = await disk.get(key);
  const format = value === undefined ? STORAGE_FORMAT : unseal(key, value).kind;
  if (format === STORAGE_FORMAT) return;
  throw new CoveyError(
    "failed_precondition",
    `Cannot read the state: its format is ${format}, this program reads ${STORAGE_FORMAT}`,
  );
}

/** Room in a commit for the hard state beside the entries. */
const SETTING_BYTES = 1024;
/** Bytes that an entry takes besides its data, at most: its head, and frame and key of a record of its own. */
const ENTRY_FRAME_BYTES = 96;

/** Cuts entries so that every piece fits into one commit, unless it is a single large entry. */
function* piecesOf(entries: readonly LogEntry[]): Iterable<readonly LogEntry[]> {
  let [from, bytes] = [0, 0];
  for (const [at, { data }] of entries.entries()) {
    const size = data.length + ENTRY_FRAME_BYTES * Math.ceil((data.length + 1) / MAX_PAYLOAD_BYTES);
    if (at > from && bytes + size > MAX_COMMIT_BYTES - SETTING_BYTES) {
      yield entries.slice(from, at);
      [from, bytes] = [at, 0];
    }
    bytes += size;
  }
  if (from < entries.length) yield from === 0 ? entries : entries.slice(from);
}
