/** Snapshots on their way into a member: on disk and as objects, neither of which counts before it is installed. */
import type { StagedState } from "./staged_state.ts";
import type { StateImage } from "../state_machine.ts";
import type { MemberAddress } from "./disk_storage.ts";
import type { SnapshotMeta } from "../../raft/mod.ts";

/** Where the records of one go. */
export interface IncomingSnapshot {
  state: StagedState;
  image: StateImage;
}

/** The same, complete, with the members that it names. */
export interface ArrivedSnapshot extends IncomingSnapshot {
  addresses: MemberAddress[];
}

/** The snapshots of one member: at most one that arrives, and one that the core has taken. */
export class IncomingSnapshots {
  readonly #failed: (error: unknown) => void;
  #arriving: IncomingSnapshot | undefined;
  #taken: { meta: SnapshotMeta; snapshot: ArrivedSnapshot } | undefined;
  #dropping: Promise<void> = Promise.resolve();
  #isOver = false;

  /** `failed` hears of an error of the disk. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Another one begins to arrive, in place of one that still does: whoever sent that leads no more, or has begun anew. */
  begin(snapshot: IncomingSnapshot): IncomingSnapshot {
    void this.#arriving?.state.abandon();
    return this.#arriving = snapshot;
  }

  /** One is complete, and the core has taken it: one that was not written yet is overtaken. */
  taken(meta: SnapshotMeta, snapshot: ArrivedSnapshot): void {
    this.#forget(snapshot);
    if (this.#taken) this.drop(this.#taken.snapshot);
    this.#taken = { meta, snapshot };
  }

  /** Hands out the one that is to be written now. */
  take(meta: SnapshotMeta): ArrivedSnapshot | undefined {
    if (this.#taken?.meta !== meta) return undefined;
    const { snapshot } = this.#taken;
    this.#taken = undefined;
    return snapshot;
  }

  /** Deletes what has come of one that is not used. */
  drop(snapshot: IncomingSnapshot): void {
    this.#forget(snapshot);
    const before = this.#dropping;
    this.#dropping = (async () => {
      await before;
      // A member that stops is about to close its disk: nothing is deleted now, the next start does it.
      await (this.#isOver ? snapshot.state.abandon() : snapshot.state.drop());
    })().catch(this.#failed);
  }

  /** Writes nothing more, soon. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#arriving?.state.abandon();
    await this.#dropping;
  }

  #forget({ state }: IncomingSnapshot): void {
    if (this.#arriving?.state === state) this.#arriving = undefined;
  }
}
