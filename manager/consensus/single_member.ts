/** Consensus with one member: an entry is committed once it is synced to the own disk. */
import { dirname } from "node:path";
import { CoveyError } from "../../api/errors.ts";
import type { Random } from "../../api/random.ts";
import { type Consensus, type ConsensusStatus, MAX_ENTRY_BYTES } from "./consensus.ts";
import { type Disk, openKvDisk } from "./disk.ts";
import { lockFolder, type Unlock } from "./folder_lock.ts";
import type { LogEntry } from "./log.ts";
import type { StateMachine } from "./state_machine.ts";
import { Storage } from "./storage.ts";

/** Options of {@linkcode openSingleMember}. */
export interface SingleMemberOptions {
  /** The Deno KV file; its folder is locked. */
  kvPath: string;
  nodeID: string;
  /** HOST:PORT of this manager. */
  address: string;
  random: Random;
  /** Entries in the log before a checkpoint is written. @default CHECKPOINT_ENTRIES */
  checkpointEntries?: number;
  /** Bytes in the log before a checkpoint is written. @default CHECKPOINT_BYTES */
  checkpointBytes?: number;
}

/**
 * Long enough that a busy object is written once for many changes, short enough to be replayed in a second.
 */
export const CHECKPOINT_ENTRIES = 10_000;
/** What an SD card holds twice without notice, and what replays in a second. */
export const CHECKPOINT_BYTES = 16 * 1024 * 1024;
/** Bytes that wait for the disk; beyond, `propose` rejects with `resource_exhausted`. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** Kind of the log entries that go to the state machine. */
const KIND_STATE = 0;

/**
 * Opens a member on `options.kvPath`, new or as it was. Throws `failed_precondition` if another process has
 * the folder or the state is another node's, and `data_loss` naming the record if the disk is damaged.
 */
export async function openSingleMember(options: SingleMemberOptions): Promise<Consensus> {
  const unlock = await lockFolder(dirname(options.kvPath));
  try {
    return await openOnDisk(await openKvDisk(options.kvPath), options, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** As {@linkcode openSingleMember}, on a disk that the caller has made and that nobody else uses. */
export async function openOnDisk(
  disk: Disk,
  options: Omit<SingleMemberOptions, "kvPath">,
  unlock: Unlock = () => {},
): Promise<Consensus> {
  try {
    const storage = await Storage.open(disk);
    const { nodeID } = storage.identity ?? options;
    if (nodeID !== options.nodeID) {
      throw new CoveyError(
        "failed_precondition",
        `Cannot use the state: it is of node ${nodeID}, not ${options.nodeID}`,
      );
    }
    return new SingleMember(disk, storage, options, unlock);
  } catch (error) {
    await disk.close();
    throw error;
  }
}

interface Waiting {
  data: Uint8Array;
  local: unknown;
  resolve: (index: number) => void;
  reject: (error: unknown) => void;
}

class SingleMember implements Consensus {
  readonly failed: Promise<Error>;
  readonly #disk: Disk;
  readonly #storage: Storage;
  readonly #options: Omit<SingleMemberOptions, "kvPath">;
  readonly #unlock: Unlock;
  readonly #listeners = new Set<(status: ConsensusStatus) => void>();
  readonly #reportFailure: (error: Error) => void;
  #machine: StateMachine | undefined;
  #phase: "opened" | "leading" | "stopped" = "opened";
  #error: Error | undefined;
  #applied = 0;
  readonly #memberID: number;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #checkpointing: Promise<void> | undefined;
  #bytesSinceCheckpoint = 0;
  #stopped: Promise<void> | undefined;

  constructor(disk: Disk, storage: Storage, options: Omit<SingleMemberOptions, "kvPath">, unlock: Unlock) {
    this.#disk = disk;
    this.#storage = storage;
    this.#options = options;
    this.#unlock = unlock;
    this.#memberID = storage.identity?.memberID ?? newMemberID(options.random);
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#reportFailure = resolve;
    void disk.failed.then((error) => this.#fail(error));
  }

  async start(machine: StateMachine): Promise<void> {
    if (this.#machine !== undefined) {
      throw new CoveyError("failed_precondition", "Cannot start: already started");
    }
    this.#machine = machine;
    const { log, checkpointIndex } = this.#storage;
    machine.restore(checkpointIndex, await this.#storage.loadState());
    this.#applied = checkpointIndex;
    for await (const { index, data } of log.read(checkpointIndex + 1, log.lastIndex)) {
      machine.apply(index, data);
      this.#applied = index;
      this.#bytesSinceCheckpoint += data.length;
    }
    await this.#beginTerm();
    if (this.#phase !== "opened") return;
    this.#phase = "leading";
    this.#notify();
    this.#considerCheckpoint();
  }

  propose(data: Uint8Array, local?: unknown): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) throw this.#error;
      if (this.#phase !== "leading") {
        throw new CoveyError("unavailable", "Cannot propose: the member is not running");
      }
      const limit = data.length > MAX_ENTRY_BYTES ? MAX_ENTRY_BYTES : MAX_WAITING_BYTES;
      if (data.length > MAX_ENTRY_BYTES || this.#waitingBytes + data.length > MAX_WAITING_BYTES) {
        throw new CoveyError(
          "resource_exhausted",
          `Cannot propose ${data.length} bytes: the limit is ${limit}`,
        );
      }
      this.#waiting.push({ data, local, resolve, reject });
      this.#waitingBytes += data.length;
      this.#writing ??= this.#writeWaiting().finally(() => this.#writing = undefined);
    });
  }

  readBarrier(): Promise<void> {
    if (this.#phase === "leading") return Promise.resolve();
    return Promise.reject(new CoveyError("unavailable", "Cannot read: the member is not running"));
  }

  status(): ConsensusStatus {
    const isLeader = this.#phase === "leading";
    const { nodeID, address } = this.#options;
    return {
      isLeader,
      leaderNodeID: isLeader ? nodeID : undefined,
      term: this.#storage.hardState.term,
      appliedIndex: this.#applied,
      members: [{ memberID: this.#memberID, nodeID, address, learner: false, reachable: isLeader }],
    };
  }

  subscribe(listener: (status: ConsensusStatus) => void): () => void {
    const own = (status: ConsensusStatus) => listener(status);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  stop(): Promise<void> {
    return this.#stopped ??= this.#stop();
  }

  async #stop(): Promise<void> {
    const wasOpen = this.#phase !== "stopped";
    this.#phase = "stopped";
    if (wasOpen) this.#notify();
    await this.#writing;
    await this.#checkpointing;
    await this.#disk.close().finally(this.#unlock);
  }

  /** Writes who this is, if that is new, and a new term: entries of two runs are told apart. */
  #beginTerm(): Promise<void> {
    const { nodeID, address } = this.#options;
    const { hardState, membership, identity, log } = this.#storage;
    const member = { memberID: this.#memberID, nodeID, address, learner: false };
    const known = membership.members[0];
    const changed = known?.memberID !== this.#memberID || known.address !== address;
    return this.#storage.save({
      ...(identity === undefined && { identity: { memberID: this.#memberID, nodeID } }),
      ...(changed && { membership: { ...membership, index: log.lastIndex, members: [member] } }),
      hardState: { term: hardState.term + 1, vote: this.#memberID, commit: log.lastIndex },
    });
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0 && this.#error === undefined) {
      const group = this.#waiting;
      this.#waiting = [];
      const { log, hardState: { term } } = this.#storage;
      const entries = group.map(({ data }, i): LogEntry => ({
        index: log.lastIndex + 1 + i,
        term,
        kind: KIND_STATE,
        data,
      }));
      try {
        await this.#storage.save({ entries });
        for (const [i, { data, local }] of group.entries()) this.#apply(entries[i]!.index, data, local);
      } catch (error) {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
        for (const { reject } of group) reject(this.#error);
        break;
      }
      for (const [i, { data, resolve }] of group.entries()) {
        this.#waitingBytes -= data.length;
        resolve(entries[i]!.index);
      }
      this.#considerCheckpoint();
    }
  }

  #apply(index: number, data: Uint8Array, local: unknown): void {
    this.#machine!.apply(index, data, local);
    this.#applied = index;
    this.#bytesSinceCheckpoint += data.length;
  }

  /** Runs beside the writing of entries, whose commits go in between. */
  #considerCheckpoint(): void {
    const { checkpointEntries = CHECKPOINT_ENTRIES, checkpointBytes = CHECKPOINT_BYTES } = this.#options;
    const entries = this.#applied - this.#storage.checkpointIndex;
    if (this.#checkpointing !== undefined || this.#phase !== "leading") return;
    if (entries < checkpointEntries && this.#bytesSinceCheckpoint < checkpointBytes) return;
    if (entries === 0) return;
    this.#checkpointing = this.#writeCheckpoint()
      .catch((error) => this.#fail(error))
      .finally(() => this.#checkpointing = undefined);
  }

  async #writeCheckpoint(): Promise<void> {
    const index = this.#applied;
    this.#bytesSinceCheckpoint = 0;
    await this.#storage.writeCheckpoint(index, this.#machine!.takeDirty());
    await this.#storage.log.compact(index);
  }

  /** The end: a member that cannot write, or whose state machine cannot go on, must not pretend. */
  #fail(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#phase = "stopped";
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#notify();
    this.#reportFailure(error);
  }

  #notify(): void {
    const status = this.status();
    for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) listener(status);
  }
}

/** Random and never 0, which means nobody. */
function newMemberID(random: Random): number {
  const view = new DataView(random.bytes(6).buffer);
  return view.getUint16(0) * 2 ** 32 + view.getUint32(2) + 1;
}
