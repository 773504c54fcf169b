import { Inflights } from "./inflights.ts";
import { invariant } from "./invariant.ts";

/**
 * How a leader sends to one follower:
 *
 *     probe ──accepted──> replicate      probe: one message at a time, until the logs are known to agree
 *       ^ <──rejected, unreachable──      replicate: optimistic pipeline limited by the window
 *       |                                 snapshot: entries it needs are gone; nothing is sent until it has one
 *       └──done, failed── snapshot <── (from either, when the next entry is compacted)
 */
export type ProgressState = "probe" | "replicate" | "snapshot";

/** What a leader knows about one member. Invariant: match < next. */
export class Progress {
  state: ProgressState = "probe";
  /** The highest index known to be stored by the follower. */
  match = 0;
  /** The next index to send. */
  next: number;
  /** The highest commit index sent, as far as the entries sent cover it. */
  sentCommit = 0;
  /** In state `snapshot`: the index of the snapshot on its way. */
  pendingSnapshot = 0;
  /** Nothing more until an answer or a heartbeat's answer comes. */
  paused = false;
  /** The tick at which it was last heard of. */
  activeTick: number;
  /** It has answered this leader. Until then it only may be there: a new leader gives everybody an election timeout. */
  answered = false;
  /** The newest read round that it has confirmed. */
  readRound = 0;
  readonly inflights: Inflights;

  constructor(next: number, activeTick: number, inflights: Inflights) {
    invariant(next > 0, "next index is positive", next);
    this.next = next;
    this.activeTick = activeTick;
    this.inflights = inflights;
  }

  /** A message from it has arrived at `tick`. */
  heard(tick: number): void {
    invariant(tick >= this.activeTick, "ticks go on", tick, this.activeTick);
    this.activeTick = tick;
    this.answered = true;
  }

  #become(state: ProgressState): void {
    this.state = state;
    this.paused = false;
    this.pendingSnapshot = 0;
    this.inflights.reset();
  }

  becomeProbe(): void {
    // After a snapshot the follower is known to have it, or will reject the probe and be helped again.
    const next = this.state === "snapshot" ? Math.max(this.match, this.pendingSnapshot) + 1 : this.match + 1;
    this.#become("probe");
    this.next = next;
    this.sentCommit = Math.min(this.sentCommit, next - 1);
    invariant(this.match < this.next, "match is below next", this.match, this.next);
  }

  becomeReplicate(): void {
    invariant(this.state !== "replicate", "replicate is entered once", this.state);
    this.#become("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    invariant(this.state !== "snapshot", "one snapshot at a time", this.state);
    invariant(index > this.match, "a snapshot brings something new", index, this.match);
    this.#become("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  /** Nothing may be sent. */
  isPaused(): boolean {
    return this.state === "snapshot" || this.paused;
  }

  /** Notes an append of `count` entries and `bytes`, with `commit`. */
  sent(count: number, bytes: number, commit: number): void {
    invariant(!this.isPaused(), "nothing is sent while paused");
    if (this.state === "replicate") {
      if (count > 0) {
        this.next += count;
        this.inflights.add(this.next - 1, bytes);
      }
      // Once the window is full, one empty message a heartbeat asks whether there is room again.
      this.paused = this.inflights.full;
      this.sentCommit = Math.max(this.sentCommit, Math.min(commit, this.next - 1));
    } else if (count > 0) {
      this.paused = true;
      this.sentCommit = Math.max(this.sentCommit, Math.min(commit, this.next - 1 + count));
    } else {
      this.sentCommit = Math.max(this.sentCommit, Math.min(commit, this.next - 1));
    }
    invariant(this.match < this.next, "match is below next", this.match, this.next);
  }

  /** An empty append would tell the follower of a newer commit index. */
  wantsCommit(commit: number): boolean {
    return Math.min(commit, this.next - 1) > this.sentCommit;
  }

  /** The follower stores everything to `index`; false if that was known. */
  accept(index: number): boolean {
    invariant(index >= 0, "an index is not negative", index);
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.paused = false;
    return true;
  }

  /**
   * The follower refused entries after `rejected`; `hint` is where the logs may agree.
   * @returns false if the message is old, and nothing has to be sent
   */
  reject(rejected: number, hint: number): boolean {
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.becomeProbe();
      return true;
    }
    if (this.state === "snapshot" || this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.paused = false;
    invariant(this.match < this.next, "match is below next", this.match, this.next);
    return true;
  }
}
