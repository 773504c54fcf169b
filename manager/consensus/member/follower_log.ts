/** How long a leader keeps entries for followers that lack them. */
import type { MemberID, RaftStatus } from "../../raft/mod.ts";
import type { RaftDisk } from "../disk/raft_disk.ts";

/** Silence after which no entries are kept for a follower, in ticks: a crash and a start take less. */
const MAX_SILENT_TICKS = 300;

/** What followers still need of a leader's log. */
export class FollowerLog {
  readonly #disk: Pick<RaftDisk, "firstIndex" | "canKeep">;
  /** The tick at which each was last heard of. */
  readonly #seen = new Map<MemberID, number>();
  #ticks = 0;

  constructor(disk: Pick<RaftDisk, "firstIndex" | "canKeep">) {
    this.#disk = disk;
  }

  /** A tick has passed; `status` is undefined on a member that does not lead. */
  tick(status: RaftStatus | undefined): void {
    this.#ticks++;
    if (status === undefined) return this.#seen.clear();
    for (const { id, active } of status.members) {
      if (active || !this.#seen.has(id)) this.#seen.set(id, this.#ticks);
    }
  }

  /** The first entry that a follower still needs, unless that keeps too many. */
  keepFrom({ id: self, members }: RaftStatus): number {
    let from = Infinity;
    for (const { id, match, state, next } of members) {
      // While a snapshot is on its way, `match` is still what the member had before it; `next` is what it needs after it.
      const needed = state === "replicate" ? match + 1 : next;
      const gone = this.#ticks - (this.#seen.get(id) ?? this.#ticks) > MAX_SILENT_TICKS;
      // A member that needs entries which are deleted already gets a snapshot: nothing has to be kept for it.
      if (!gone && id !== self && needed >= this.#disk.firstIndex()) from = Math.min(from, needed);
    }
    return this.#disk.canKeep(from) ? from : Infinity;
  }
}
