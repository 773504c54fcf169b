import { CoveyError } from "../../api/errors.ts";
import { applyOpenConfChanges, maybeCommit } from "./commit.ts";
import type { MemberChange } from "./conf_change.ts";
import { type RaftConfig, type RaftTiming, validateRaftConfig } from "./config.ts";
import { campaign, countOwnVote, reportLost } from "./election.ts";
import { invariant, RaftInvariantError } from "./invariant.ts";
import { reportSnapshot, reportUnreachable } from "./leader.ts";
import { type ConfChangeResult, proposeConfChange } from "./membership.ts";
import type { Message } from "./messages.ts";
import { type ProposalResult, propose, releaseUncommitted } from "./proposal.ts";
import { forgetRead, readIndex, type ReadResult, startReadRound } from "./read_index.ts";
import { replicate, sendHeartbeats } from "./replication.ts";
import { RaftState } from "./state.ts";
import { type RaftStatus, statusOf } from "./status.ts";
import { step, type StepOutcome } from "./step.ts";
import type { Storage } from "./storage.ts";
import { tick } from "./tick.ts";
import { transferLeadership, type TransferResult } from "./transfer.ts";
import type { Ready, WriteBatch } from "./ready.ts";
import type { ConfState, Entry, MemberID, SnapshotMeta, SoftState } from "./types.ts";

/**
 * One member of a Raft cluster, without clock, network and disk: the caller brings those, see its duties in `mod.ts`.
 * Every method throws {@linkcode RaftInvariantError} once an invariant was found broken, then and ever after.
 */
export class RawNode {
  private readonly raft: RaftState;
  #writing: WriteBatch | null = null;
  #writeStartTick = 0;
  /** Term and vote of the last batch handed out, and the last membership change that it says is committed. */
  #handed: { term: number; vote: MemberID; confIndex: number };
  #softState: SoftState = { role: "follower", leader: 0 };
  #failure: RaftInvariantError | null = null;

  /**
   * @throws {CoveyError} `invalid_argument` with all problems of `config`
   * @throws {RaftInvariantError} if the storage contradicts itself
   */
  constructor(config: RaftConfig, storage: Storage) {
    const problems = validateRaftConfig(config);
    if (problems.length > 0) throw CoveyError.invalid("start Raft", problems);
    this.raft = new RaftState(config, storage);
    const { log } = this.raft;
    if (log.applied < log.lastIndex) {
      this.raft.noteConfChanges(log.applied + 1, log.entries(log.applied + 1, Infinity));
    }
    applyOpenConfChanges(this.raft);
    this.#handed = { ...this.raft.stored, confIndex: this.raft.confIndex };
    const { length } = this.raft.openConfChanges;
    invariant(length <= 1, "a stored change follows a change stored as committed", length);
  }

  /** One tick of the caller's clock has passed. */
  tick(): void {
    this.#guard(() => tick(this.raft, this.#writing ? this.raft.tick + 1 - this.#writeStartTick : 0));
  }

  /**
   * Goes on with other timeouts, from the next tick on. Members may differ for a while: that costs elections at worst.
   *
   * @throws {CoveyError} `invalid_argument` as the constructor does; nothing has changed then
   */
  retime(timing: RaftTiming): void {
    const config = { ...this.raft.config, ...timing };
    const problems = validateRaftConfig(config);
    if (problems.length > 0) throw CoveyError.invalid("change Raft's timing", problems);
    this.raft.config = config;
    this.raft.resetElectionTimeout();
  }

  /** Takes in a message from another member. */
  step(message: Message): StepOutcome {
    return this.#guard(() => step(this.raft, message));
  }

  /** Campaigns now instead of at the timeout; does nothing where that is not allowed. */
  campaign(): void {
    this.#guard(() => campaign(this.raft));
  }

  /** Puts one entry for each of `data` into the log, if this member leads. The bytes must not change afterwards. */
  propose(data: readonly Uint8Array[]): ProposalResult {
    return this.#guard(() => propose(this.raft, data));
  }

  /** Changes the membership, if this member leads. Done when the change is committed, and left if it is joint. */
  proposeConfChange(changes: readonly MemberChange[]): ConfChangeResult {
    return this.#guard(() => proposeConfChange(this.raft, changes));
  }

  /** Asks up to which index must be applied for a linearizable read; works on followers as well. */
  readIndex(): ReadResult {
    return this.#guard(() => readIndex(this.raft));
  }

  /** Nobody waits any more for the read with this id. */
  forgetRead(id: number): void {
    this.#guard(() => forgetRead(this.raft, id));
  }

  /** Hands leadership to `target`, if this member leads. */
  transferLeadership(target: MemberID): TransferResult {
    return this.#guard(() => transferLeadership(this.raft, target));
  }

  /** Messages to `id` were lost. */
  reportUnreachable(id: MemberID): void {
    this.#guard(() => reportUnreachable(this.raft, id));
  }

  /** The connection over which `id` sent has broken: if it leads, the wait for it is over soon. */
  reportLost(id: MemberID): void {
    this.#guard(() => reportLost(this.raft, id));
  }

  /** The snapshot sent to `id` has arrived, or will not. */
  reportSnapshot(id: MemberID, arrived: boolean): void {
    this.#guard(() => reportSnapshot(this.raft, id, arrived));
  }

  /** The snapshot that was taken in and is not known to be stored. */
  get pendingSnapshot(): SnapshotMeta | null {
    return this.raft.log.pendingSnapshot;
  }

  /** Whether `ready()` would return anything to do. */
  hasReady(): boolean {
    return this.#guard(() => {
      this.#flush();
      const { raft } = this;
      if (raft.messages.length > 0 || raft.reads.length > 0 || raft.lostReads.length > 0) return true;
      if (raft.log.hasCommitted(raft.publicCommit) || this.#softStateChanged()) return true;
      return this.#writing === null && (this.#mustWrite() || raft.messagesAfterWrite.length > 0);
    });
  }

  /** Takes everything there is to do. */
  ready(): Ready {
    return this.#guard(() => {
      this.#flush();
      const { raft } = this;
      const write = this.#startWrite();
      const { committed, confState } = this.#takeCommitted();
      const softState = this.#softStateChanged() ? { role: raft.role, leader: raft.leader } : null;
      if (softState) this.#softState = softState;
      const { messages, reads, lostReads } = raft;
      raft.messages = [];
      raft.reads = [];
      raft.lostReads = [];
      return { messages, write, committed, confState, reads, lostReads, softState };
    });
  }

  /** The write batch that is out has been synced. */
  persisted(): void {
    this.#guard(() => {
      const { raft } = this;
      const batch = this.#writing;
      invariant(batch !== null, "a write is out");
      this.#writing = null;
      raft.log.finishWrite();
      const { term } = batch.hardState;
      invariant(term >= raft.stored.term, "stored terms never go back", term, raft.stored.term);
      raft.stored = batch.hardState;
      countOwnVote(raft);
      if (raft.role !== "leader") return;
      raft.progressOf(raft.id).accept(raft.log.stableIndex);
      maybeCommit(raft);
    });
  }

  /** Committed entries up to `index` have been applied. */
  applied(index: number): void {
    this.#guard(() => this.raft.log.appliedTo(index));
  }

  status(): RaftStatus {
    return statusOf(this.raft);
  }

  #guard<T>(work: () => T): T {
    if (this.#failure) throw this.#failure;
    try {
      return work();
    } catch (thrown) {
      // Whatever was thrown, the state may be half changed, and going on could lose data.
      const failure = thrown instanceof RaftInvariantError
        ? thrown
        : new RaftInvariantError(`Cannot continue: the core or its storage failed`, { cause: thrown });
      this.#failure = failure;
      throw failure;
    }
  }

  #flush(): void {
    replicate(this.raft);
    if (startReadRound(this.raft)) sendHeartbeats(this.raft);
  }

  #softStateChanged(): boolean {
    return this.raft.role !== this.#softState.role || this.raft.leader !== this.#softState.leader;
  }

  #mustWrite(): boolean {
    const { term, vote, confIndex } = this.#handed;
    if (this.raft.log.hasUnwritten || term !== this.raft.term || vote !== this.raft.vote) return true;
    // That a change of membership is committed is stored too: members that restart without knowing could wait for votes of
    // members that are gone.
    return confIndex !== this.raft.confIndex;
  }

  #startWrite(): WriteBatch | null {
    const { raft } = this;
    if (this.#writing) return null;
    const messages = raft.messagesAfterWrite;
    raft.messagesAfterWrite = [];
    if (!this.#mustWrite()) {
      // There is nothing to write, so what was to be sent after a write can leave now.
      for (const message of messages) raft.messages.push(message);
      return null;
    }
    const { entries, snapshot } = raft.log.startWrite();
    const { term, vote, log: { committed: commit } } = raft;
    invariant(
      commit <= raft.log.lastIndex,
      "what is stored as committed is in the log",
      commit,
      raft.log.lastIndex,
    );
    this.#handed = { term, vote, confIndex: raft.confIndex };
    this.#writeStartTick = raft.tick;
    this.#writing = { snapshot, entries, hardState: { term, vote, commit }, messages };
    return this.#writing;
  }

  #takeCommitted(): { committed: readonly Entry[]; confState: ConfState | null } {
    const { raft } = this;
    const { publicCommit } = raft;
    if (!raft.log.hasCommitted(publicCommit)) return { committed: [], confState: null };
    const committed = raft.log.takeCommitted(publicCommit, raft.config.maxCommittedBytes);
    releaseUncommitted(raft, committed);
    const last = committed.at(-1)!.index;
    let confState: ConfState | null = null;
    while (raft.confHistory.length > 0 && raft.confHistory[0]!.index <= last) {
      confState = raft.confHistory.shift()!.confState;
    }
    return { committed, confState };
  }
}
