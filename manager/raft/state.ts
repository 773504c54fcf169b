import { type ConfChange, decodeConfChange } from "./conf_change.ts";
import type { RaftConfig } from "./config.ts";
import { Inflights } from "./inflights.ts";
import { invariant } from "./invariant.ts";
import { RaftLog } from "./log.ts";
import type { Message } from "./messages.ts";
import { Progress } from "./progress.ts";
import type { Storage } from "./storage.ts";
import {
  type ConfState,
  type Entry,
  type HardState,
  type MemberID,
  NO_MEMBER,
  type ReadState,
  type Role,
} from "./types.ts";

/** A read on its way: `from` asked for it (maybe this member itself) when `index` was committed. */
export interface PendingRead {
  readonly id: number;
  readonly from: MemberID;
  readonly index: number;
  /** The heartbeat round that confirms it; 0 until the next one starts. */
  round: number;
}

/** A message without its sender, and without its term where that is the present one. */
export type Unsent<M> = M extends Message ? Omit<M, "from" | "term"> & { term?: number } : never;

/** Everything one member knows. The rules that change it stand in the modules that import this. */
export class RaftState {
  readonly id: MemberID;
  config: RaftConfig;
  readonly log: RaftLog;
  /** The snapshot that can be sent now. */
  readonly snapshot: Storage["snapshot"];

  term: number;
  vote: MemberID;
  role: Role = "follower";
  leader: MemberID = NO_MEMBER;

  /** The membership as of the commit index. */
  conf: ConfState;
  removed: ReadonlySet<MemberID>;
  /** Indexes of membership changes in the log that are not known to be committed; see decision 0010. */
  openConfChanges: number[] = [];
  /** Memberships that took effect, but whose entries were not handed out yet. */
  confHistory: { index: number; confState: ConfState }[] = [];
  /** Index of the last membership change that took effect in this incarnation. */
  confIndex = 0;

  /** Leader only, itself included. */
  progress = new Map<MemberID, Progress>();
  votes = new Map<MemberID, boolean>();
  preVoteRound = 0;

  tick = 0;
  electionElapsed = 0;
  heartbeatElapsed = 0;
  electionTimeout = 0;

  transferTarget: MemberID = NO_MEMBER;
  transferElapsed = 0;

  /** Bytes of own proposals, from index `uncommittedFrom` on, that were not handed out as committed. */
  uncommittedBytes = 0;
  uncommittedFrom = 0;

  /** Leader: reads that wait for an own entry to be committed, or for their round. */
  pendingReads: PendingRead[] = [];
  readRound = 0;
  /** Follower: reads handed to the leader. */
  forwardedReads = new Set<number>();
  nextReadID: number;
  reads: ReadState[] = [];
  lostReads: number[] = [];

  /** To be sent at once, and after the next write. */
  messages: Message[] = [];
  messagesAfterWrite: Message[] = [];
  /** What the last batch that is known to be stored says. */
  stored: HardState;

  constructor(config: RaftConfig, storage: Storage) {
    const { hardState, confState } = storage.initialState();
    this.id = config.id;
    this.config = config;
    this.log = new RaftLog(storage);
    this.snapshot = (to) => storage.snapshot(to);
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.stored = { ...hardState };
    this.conf = confState;
    this.removed = new Set(confState.removed);
    // Read IDs begin anywhere: a late answer to a read of before this start must not pass for that of a new one.
    this.nextReadID = 1 + Math.floor(config.random() * 2 ** 40);
    invariant(
      hardState.term >= this.log.lastTerm,
      "stored term covers the log",
      hardState.term,
      this.log.lastTerm,
    );
    this.resetElectionTimeout();
  }

  /** Sends right away; the sender and (unless given) the current term are filled in. */
  send(message: Unsent<Message>): void {
    invariant(message.to !== this.id, "no message goes to oneself", message.type);
    invariant(message.to !== NO_MEMBER, "a message has a receiver", message.type);
    this.messages.push({ ...message, from: this.id, term: message.term ?? this.term } as Message);
  }

  /** Sends once everything that is true now has been stored. */
  sendAfterWrite(message: Unsent<Message>): void {
    invariant(message.to !== this.id, "no message goes to oneself", message.type);
    invariant(message.to !== NO_MEMBER, "a message has a receiver", message.type);
    this.messagesAfterWrite.push({ ...message, from: this.id, term: message.term ?? this.term } as Message);
  }

  resetElectionTimeout(): void {
    const { electionTicks, random } = this.config;
    this.electionTimeout = electionTicks + Math.floor(random() * electionTicks);
    invariant(this.electionTimeout < 2 * electionTicks, "random() is below 1", this.electionTimeout);
  }

  newProgress(): Progress {
    const { maxInflightMessages, maxInflightBytes } = this.config;
    const window = new Inflights(maxInflightMessages, maxInflightBytes);
    return new Progress(this.log.lastIndex + 1, this.tick, window);
  }

  /** Lets a membership take effect. */
  setConf(conf: ConfState): void {
    const before = this.conf;
    this.conf = conf;
    if (conf.removed !== before.removed) this.removed = new Set(conf.removed);
    invariant(conf.voters.every((id) => !this.removed.has(id)), "removed members do not vote");
  }

  /** The leader's view of a member that must exist. */
  progressOf(id: MemberID): Progress {
    const progress = this.progress.get(id);
    invariant(progress !== undefined, "the leader tracks every member", id);
    return progress;
  }

  /** Changes took effect of which a restart would not know that they are committed. */
  get hasUnstoredConf(): boolean {
    return this.confIndex > this.stored.commit;
  }

  /**
   * The commit index as others and the application may know it; see decision 0010. Whoever hears that it was removed is
   * gone for good, and must not be needed by a member that has forgotten that.
   */
  get publicCommit(): number {
    return this.hasUnstoredConf ? this.stored.commit : this.log.committed;
  }

  /** Heard of within the last election timeout. */
  isActive(id: MemberID): boolean {
    if (id === this.id) return true;
    const progress = this.progress.get(id);
    return progress !== undefined && this.tick - progress.activeTick <= this.config.electionTicks;
  }

  /** A leader commits by counting only entries of its own term (paper 5.4.2). */
  mayCommitByCounting(index: number): boolean {
    return this.log.matches(index, this.term);
  }

  /** Until then a new leader knows neither the commit index nor the membership for certain (paper 8). */
  hasCommittedInTerm(): boolean {
    return this.log.matches(this.log.committed, this.term);
  }

  /** Notes membership changes among entries that were put into the log from `from` on, in place of all after it. */
  noteConfChanges(from: number, entries: readonly Entry[]): void {
    if (this.openConfChanges.length > 0) {
      this.openConfChanges = this.openConfChanges.filter((index) => index < from);
    }
    for (const { index, type } of entries) {
      if (type === "conf_change" && index >= from) this.openConfChanges.push(index);
    }
    invariant(this.openConfChanges.every((index) => index <= this.log.lastIndex), "changes are in the log");
  }

  /** The membership change at `index`. */
  confChangeAt(index: number): ConfChange {
    const entry = this.log.entries(index, 0, index + 1)[0];
    invariant(entry?.type === "conf_change", "the entry is a membership change", index);
    return decodeConfChange(entry.data);
  }
}
