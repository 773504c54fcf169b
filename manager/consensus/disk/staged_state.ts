/** A state that is written beside the present one, and does not count before that is replaced by it. */
import { CoveyError } from "../../../api/errors.ts";
import { BulkWriter } from "./bulk_writer.ts";
import { commitAll, type Disk } from "./disk.ts";
import { Segments } from "./segments.ts";
import type { StateRecord } from "../state_machine.ts";

/** See `Storage.stage`. */
export class StagedState {
  readonly segments: Segments;
  readonly #disk: Disk;
  readonly #writer: BulkWriter;
  readonly #abort = new AbortController();
  #adding: Promise<void> = Promise.resolve();

  constructor(disk: Disk, epoch: number) {
    this.#disk = disk;
    this.segments = new Segments(disk, epoch);
    // Written without pauses: the sender of the snapshot sets the pace.
    this.#writer = new BulkWriter(disk, { signal: this.#abort.signal });
  }

  /** Takes in records, after those of the call before, which must have ended. Rejects with `canceled` once abandoned. */
  add(records: Iterable<StateRecord>): Promise<void> {
    return this.#adding = this.#go(() => this.segments.append(records, this.#writer));
  }

  /** Everything was added. */
  end(): Promise<void> {
    return this.#adding = this.#go(() => this.segments.flush(this.#writer));
  }

  /** Writes nothing more. What is on disk stays, until {@linkcode drop} or a start. */
  async abandon(): Promise<void> {
    this.#abort.abort(new CoveyError("canceled", "Cannot go on with a snapshot: it is not wanted any more"));
    await this.#adding.catch(() => {});
  }

  /** Abandons it and deletes what is on disk. */
  async drop(): Promise<void> {
    await this.abandon();
    await commitAll(this.#disk, this.segments.remove());
  }

  async #go(write: () => Promise<void>): Promise<void> {
    this.#abort.signal.throwIfAborted();
    await write();
  }
}
