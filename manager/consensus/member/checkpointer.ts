/** When the state is written to disk, and the log cut, beside the writing of entries. */
import type { StateMachine } from "../state_machine.ts";
import type { StoredMembership } from "../disk/disk_storage.ts";
import type { RaftDisk } from "../disk/raft_disk.ts";

/** Entries applied since the last checkpoint: a busy object is written once for many changes, and replay takes a second. */
export const CHECKPOINT_ENTRIES = 10_000;
/** Bytes of them: what an SD card holds twice without notice. */
export const CHECKPOINT_BYTES = 16 * 1024 * 1024;

/** After how much a checkpoint is due. */
export interface CheckpointLimits {
  entries: number;
  bytes: number;
}

/** What a {@linkcode Checkpointer} works with. */
export interface CheckpointerOptions {
  disk: RaftDisk;
  machine: StateMachine;
  limits: CheckpointLimits;
  /** Where the state stands now. */
  index: () => number;
  /** The members there. */
  membership: () => StoredMembership;
  /** The first entry that a follower still needs. */
  keepFrom: () => number;
  failed: (error: unknown) => void;
}

/** Writes one checkpoint at a time. */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #limits: CheckpointLimits;
  #bytes = 0;
  #running: Promise<void> | undefined;
  #held = false;

  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#limits = options.limits;
  }

  /** A checkpoint is due after so many entries from now on; the bytes stay as they are, which bound the memory. */
  set entries(entries: number) {
    this.#limits = { ...this.#limits, entries };
  }

  /** An entry of so many bytes was applied. */
  applied(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Starts a checkpoint if one is due. */
  consider(): void {
    const { disk, index } = this.#options;
    if (this.#held || this.#running !== undefined) return;
    if (index() === disk.checkpointIndex || !this.#isDue(disk.checkpointIndex)) return;
    this.#running = this.#write()
      .catch((error) => this.#options.failed(error))
      .finally(() => this.#running = undefined);
  }

  /**
   * Starts no further checkpoint, and resolves when none is running, which is soon: a snapshot is about to replace
   * everything, or this member stops.
   */
  async hold(): Promise<void> {
    this.#held = true;
    await this.#running;
  }

  /** The snapshot is in place. */
  release(): void {
    this.#held = false;
    this.#bytes = 0;
  }

  async #write(): Promise<void> {
    const { disk, machine, index, membership, keepFrom } = this.#options;
    this.#bytes = 0;
    const begun = index();
    // If the next checkpoint is due before this one is done, the log grows faster than it is cut: no more pauses then.
    const hurries = () => this.#held || this.#isDue(begun);
    await disk.checkpoint(begun, machine.takeDirty(), membership(), { keepFrom, hurries });
  }

  /** Whether the log holds enough since the checkpoint at `index`. */
  #isDue(index: number): boolean {
    return this.#options.index() - index >= this.#limits.entries || this.#bytes >= this.#limits.bytes;
  }
}
