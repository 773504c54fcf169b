/**
 * The state on disk, as of some index or a little newer, in one epoch of segments.
 *
 * A checkpoint writes its segments in as many commits as it takes, and last of all the index. After a crash
 * in between, some records are newer than the index says; the log from that index on, which is still there,
 * holds whole objects, so replaying it arrives at the same state. A snapshot from another member is written
 * to an epoch of its own, then switched to.
 */
import type { Clock } from "../../../api/clock.ts";
import type { OldSnapshot } from "../consensus.ts";
import { BulkWriter } from "./bulk_writer.ts";
import { commitAll, type Disk, type DiskKey, type Mutation } from "./disk.ts";
import { OldSnapshots } from "./old_snapshots.ts";
import { seal, unseal } from "./record.ts";
import { Segments } from "./segments.ts";
import { StagedState } from "./staged_state.ts";
import type { DirtyRecord } from "../state_machine.ts";

const CHECKPOINT_KEY: DiskKey = ["checkpoint"];
/** Epochs are numbered round: as many as a byte of the checkpoint's record tells apart, and far more than there are at a time. */
const EPOCHS = 256;

/** The stored state. */
export class Checkpoint {
  readonly #disk: Disk;
  readonly #clock: Clock | undefined;
  #index = 0;
  #term = 0;
  #segments: Segments;
  readonly #old: OldSnapshots;
  /** Epoch of the state staged last. */
  #lastEpoch: number;

  private constructor(disk: Disk, clock: Clock | undefined, epoch: number, old: OldSnapshots) {
    this.#disk = disk;
    this.#old = old;
    this.#clock = clock;
    this.#segments = new Segments(disk, epoch);
    this.#lastEpoch = epoch;
  }

  /** Finds the last checkpoint. Throws `data_loss` if it is damaged. */
  static async open(disk: Disk, clock?: Clock): Promise<Checkpoint> {
    const value = await disk.get(CHECKPOINT_KEY);
    if (value === undefined) return new Checkpoint(disk, clock, 0, await OldSnapshots.open(disk, 0, 0));
    const { major, minor, kind } = unseal(CHECKPOINT_KEY, value);
    const checkpoint = new Checkpoint(disk, clock, kind, await OldSnapshots.open(disk, minor, kind));
    checkpoint.#term = major;
    checkpoint.#index = minor;
    return checkpoint;
  }

  /** Index of the last entry that the state is sure to contain. */
  get index(): number {
    return this.#index;
  }

  /** Term of that entry. */
  get term(): number {
    return this.#term;
  }

  /** Bytes of the state on disk, what is dead in it included. */
  get bytes(): number {
    return this.#segments.bytes;
  }

  /** How many checkpoints before the present one are kept, from the next one on. */
  set keepOld(count: number) {
    this.#old.keep = count;
  }

  /** Those that are kept, oldest first. */
  get old(): OldSnapshot[] {
    return this.#old.list;
  }

  /** See {@linkcode OldSnapshots.records}. */
  readOld(index: number): AsyncIterable<DirtyRecord> {
    return this.#old.records(index);
  }

  /**
   * Gives `take` all records, of two with one key the older one first, and deletes what a crash left over. Throws
   * `data_loss` if one is damaged.
   */
  async load(take: (record: DirtyRecord) => void): Promise<void> {
    const segments = new Segments(this.#disk, this.#segments.epoch);
    const leftovers = await segments.load(take);
    this.#segments = segments;
    await commitAll(this.#disk, [...leftovers, ...await this.#old.leftovers()]);
  }

  /**
   * Writes what changed since the last checkpoint, then `index`, `term` and what `also` asks for, all at once. It takes its
   * time unless `hurries`.
   */
  async write(
    index: number,
    term: number,
    dirty: Iterable<DirtyRecord>,
    also: () => readonly Mutation[],
    hurries?: () => boolean,
  ): Promise<void> {
    const segments = this.#segments;
    const writer = new BulkWriter(this.#disk, { clock: this.#clock, hurries });
    const doomed = segments.doomed();
    await segments.append(segments.changesAndSurvivors(dirty, doomed), writer);
    await segments.flush(writer);
    const { epoch } = segments, remaining = new Set(segments.numbers).difference(new Set(doomed));
    const writtenAt = this.#clock?.now() ?? 0;
    const change = this.#old.change({ index, writtenAt, epoch, segments: remaining });
    for await (const copy of this.#old.copies(change, epoch, doomed)) await writer.commit([copy]);
    await this.#mark(index, term, epoch, [...also(), ...change.mutations]);
    await writer.commit(segments.remove(doomed));
    await writer.commit(await this.#old.done(change));
  }

  /** Begins a state that {@linkcode replace} can put in the place of this one. */
  stage(): StagedState {
    do this.#lastEpoch = (this.#lastEpoch + 1) % EPOCHS; while (this.#lastEpoch === this.#segments.epoch);
    return new StagedState(this.#disk, this.#lastEpoch);
  }

  /** Puts a staged state in the place of all records, and does what `also` asks for; a crash leaves all or nothing of it. */
  async replace(
    index: number,
    term: number,
    { segments }: StagedState,
    also: () => readonly Mutation[],
  ): Promise<void> {
    const change = this.#old.clear();
    await this.#mark(index, term, segments.epoch, [...also(), ...change.mutations]);
    const before = this.#segments;
    this.#segments = segments;
    await commitAll(this.#disk, [...before.remove(), ...await this.#old.done(change)]);
  }

  async #mark(index: number, term: number, epoch: number, more: readonly Mutation[]): Promise<void> {
    const header = { major: term, minor: index, kind: epoch, part: 0, parts: 1 };
    const mark = { key: CHECKPOINT_KEY, value: seal(CHECKPOINT_KEY, header, new Uint8Array()) };
    await this.#disk.commit([mark, ...more]);
    this.#index = index;
    this.#term = term;
  }
}
