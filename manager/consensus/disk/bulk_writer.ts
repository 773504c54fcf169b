/** Long writes that leave the disk to the short ones between: a client waits for each of those. */
import { type Clock, sleep } from "../../../api/clock.ts";
import { commitsOf, type Disk, type Mutation } from "./disk.ts";

/** Bytes of one commit: 25 ms on an SD card that writes 10 MB/s, which is what a short write may have to wait. */
const BULK_COMMIT_BYTES = 256 * 1024;
/** Mutations of one commit; a deleted record costs as much time as 2 KiB. */
const BULK_COMMIT_MUTATIONS = 100;
/** Pause after each commit, in times of what it took: the disk is busy with these for a quarter of the time. */
const REST = 3;
/** Longest pause, in milliseconds: a card that stood still for a second was not busy. */
const MAX_REST_MS = 100;

/** How a {@linkcode BulkWriter} goes about it. */
export interface BulkOptions {
  /** Without it there are no pauses. */
  clock?: Clock | undefined;
  /** Whether to go on without pauses. */
  hurries?: (() => boolean) | undefined;
  /** Ends the writing between two commits. */
  signal?: AbortSignal;
}

/** Commits any number of mutations, piece by piece. */
export class BulkWriter {
  readonly #disk: Disk;
  readonly #options: BulkOptions;

  constructor(disk: Disk, options: BulkOptions) {
    this.#disk = disk;
    this.#options = options;
  }

  /**
   * Commits in order; a crash leaves the first ones. Rejects with the disk's error, which is final, or with the signal's
   * reason once that is aborted.
   */
  async commit(mutations: Iterable<Mutation>): Promise<void> {
    const { clock, signal } = this.#options;
    for (const piece of commitsOf(mutations, BULK_COMMIT_BYTES, BULK_COMMIT_MUTATIONS)) {
      signal?.throwIfAborted();
      const begin = clock?.monotonic();
      await this.#disk.commit(piece);
      if (clock) await this.#rest(clock, clock.monotonic() - begin!);
    }
  }

  async #rest(clock: Clock, busyMs: number): Promise<void> {
    const { hurries, signal } = this.#options;
    const restMs = Math.min(REST * busyMs, MAX_REST_MS);
    if (restMs > 0 && !hurries?.()) await sleep(clock, restMs, signal);
  }
}
