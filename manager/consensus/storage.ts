/**
 * All that a member keeps on disk: its identity, term and vote, the membership, the log, and the state. It
 * knows nothing of who may write; the single member and the Raft driver both stand on it.
 */
import { Encoder } from "cbor-x/index-no-eval";
import type { Member } from "./consensus.ts";
import type { StateRecord } from "./state_machine.ts";
import { Checkpoint, type DirtyRecord } from "./checkpoint.ts";
import { commitAll, type Disk, type Mutation } from "./disk.ts";
import { Log, type LogEntry } from "./log.ts";
import { damaged, MAX_PAYLOAD_BYTES, seal, unseal } from "./record.ts";

/** Who this member is; written once. */
export interface Identity {
  memberID: number;
  nodeID: string;
}

/** What Raft must not forget. `vote` is a member ID or 0; `commit` an index. */
export interface HardState {
  term: number;
  vote: number;
  commit: number;
}

/** The members as of an index of the log, and the IDs that may never come back. */
export interface Membership {
  index: number;
  members: Pick<Member, "memberID" | "nodeID" | "address" | "learner">[];
  removed: number[];
}

/** What becomes durable together, in this order if it is too much for one commit. */
export interface Save {
  identity?: Identity;
  hardState?: HardState;
  membership?: Membership;
  /** Follow each other; replace the log from the first one's index on. */
  entries?: readonly LogEntry[];
}

interface Named {
  identity: Identity | undefined;
  hardState: HardState;
  membership: Membership;
}

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** A member's disk. Any error while writing is final: see {@linkcode Disk}. */
export class Storage {
  readonly #disk: Disk;
  readonly #checkpoint: Checkpoint;
  readonly log: Log;
  #named: Named = {
    identity: undefined,
    hardState: { term: 0, vote: 0, commit: 0 },
    membership: { index: 0, members: [], removed: [] },
  };

  private constructor(disk: Disk, checkpoint: Checkpoint, log: Log) {
    this.#disk = disk;
    this.#checkpoint = checkpoint;
    this.log = log;
  }

  /** Reads and checks everything but the state. Throws `data_loss` naming a damaged record. */
  static async open(disk: Disk): Promise<Storage> {
    const checkpoint = await Checkpoint.open(disk);
    const log = await Log.open(disk, checkpoint.index);
    const storage = new Storage(disk, checkpoint, log);
    for await (const { key, value } of disk.list(["member"])) {
      const name = key[1] as keyof Named;
      if (!(name in storage.#named)) throw damaged(key, "there is no such record");
      Object.assign(storage.#named, { [name]: cbor.decode(unseal(key, value).payload) });
    }
    return storage;
  }

  get identity(): Identity | undefined {
    return this.#named.identity;
  }

  get hardState(): HardState {
    return this.#named.hardState;
  }

  get membership(): Membership {
    return this.#named.membership;
  }

  /** Index up to which the stored state is complete; the log goes on from there. */
  get checkpointIndex(): number {
    return this.#checkpoint.index;
  }

  /** Term of an entry of the log, or of the checkpoint's last one; undefined for others. */
  term(index: number): number | undefined {
    return this.log.term(index) ?? (index === this.#checkpoint.index ? this.#checkpoint.term : undefined);
  }

  /** Makes everything in `save` durable: one sync, unless it is larger than a commit. */
  async save({ entries, ...named }: Save): Promise<void> {
    const mutations: Mutation[] = [];
    for (const name of ["identity", "hardState", "membership"] as const) {
      const value = named[name];
      if (value !== undefined) mutations.push(this.#setting(name, value));
    }
    if (entries !== undefined) mutations.push(...this.log.appending(entries));
    Object.assign(this.#named, named);
    await commitAll(this.#disk, mutations);
  }

  /** The records as of {@linkcode checkpointIndex}, some possibly newer. */
  loadState(): Promise<StateRecord[]> {
    return this.#checkpoint.load();
  }

  /**
   * Writes the dirty records of the state as of `index`. The log may be compacted up to `index` afterwards.
   */
  writeCheckpoint(index: number, dirty: Iterable<DirtyRecord>): Promise<void> {
    return this.#checkpoint.write(index, this.#termOf(index), dirty);
  }

  /** Replaces state and log by a snapshot from another member. A crash leaves the old state or the new. */
  async installSnapshot(index: number, term: number, records: Iterable<StateRecord>): Promise<void> {
    await this.#checkpoint.replace(index, term, records);
    await this.log.reset(index);
  }

  #termOf(index: number): number {
    const term = this.term(index);
    if (term === undefined) {
      throw new RangeError(`Cannot write a checkpoint: entry ${index} is not in the log`);
    }
    return term;
  }

  #setting(name: keyof Named, value: unknown): Mutation {
    const key = ["member", name];
    const payload = cbor.encode(value);
    if (payload.length > MAX_PAYLOAD_BYTES) {
      throw new RangeError(`Cannot write ${name}: ${payload.length} bytes`);
    }
    return { key, value: seal(key, { major: 0, minor: 0, kind: 0, part: 0, parts: 1 }, payload) };
  }
}
