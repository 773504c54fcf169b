/**
 * The loop around the Raft core: it ticks, stores, sends and applies, as the numbered duties in `raft/mod.ts` say.
 * What it sends goes through hooks; membership and status stand above it.
 */
import { CoveyError } from "../../../api/errors.ts";
import { MAX_ENTRY_BYTES } from "../consensus.ts";
import { notLeading } from "../not_leading.ts";
import type { StateMachine } from "../state_machine.ts";
import {
  type ConfChangeResult,
  type ConfState,
  type Entry,
  type MemberChange,
  type Message,
  quorumIndex,
  type RaftStatus,
  type RaftTiming,
  RawNode,
  type Ready,
  type SnapshotMeta,
  type StepOutcome,
  type WriteBatch,
} from "../../raft/mod.ts";
import { frameAddress, frameState, unframe } from "./entry_frame.ts";
import { Checkpointer } from "./checkpointer.ts";
import type { DriverOptions, LogLimits } from "./driver_options.ts";
import { FollowerLog } from "./follower_log.ts";
import { addOrSkip, unreadableEntry } from "./skipping.ts";
import {
  type ArrivedSnapshot,
  type IncomingSnapshot,
  IncomingSnapshots,
} from "../disk/incoming_snapshots.ts";
import { MemberTable } from "../membership/member_table.ts";
import type { SnapshotData } from "../disk/raft_disk.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";
import { refusal, tooMuchUncommitted, WaitingProposals, WaitingReads } from "./waiting.ts";

/** Time between two ticks of the core, milliseconds. */
const TICK_MS = 100;

/** One running member. */
export class Driver {
  readonly members = new MemberTable();
  readonly #options: DriverOptions;
  readonly #machine: StateMachine;
  readonly #raw: RawNode;
  readonly #checkpointer: Checkpointer;
  readonly #proposals = new WaitingProposals();
  readonly #reads = new WaitingReads();
  readonly #incoming = new IncomingSnapshots((error) => this.fail(error));
  readonly #followers: FollowerLog;
  #electionTicks: number;
  #confState: ConfState;
  #applied: number;
  /** The term this member leads, 0 if none. */
  #leadTerm = 0;
  #serving = false;
  #scheduled = false;
  #pumping = false;
  #error: Error | undefined;
  #stopping = false;
  #writing: Promise<void> = Promise.resolve();
  #storing = false;
  #cancelTick = () => {};
  #idle = Promise.withResolvers<void>();
  #deposed = Promise.withResolvers<void>();

  private constructor(options: DriverOptions, machine: StateMachine) {
    this.#options = options;
    this.#machine = machine;
    const { disk, config } = options;
    const { applied, confState } = disk.initialState();
    this.#electionTicks = config.electionTicks;
    this.#applied = applied;
    this.#confState = confState;
    this.members.replace(disk.addresses);
    disk.offer = (to) => this.#offerSnapshot(to);
    this.#raw = new RawNode(config, disk);
    this.#followers = new FollowerLog(disk);
    this.#checkpointer = new Checkpointer({
      disk,
      machine,
      limits: options.limits,
      index: () => this.#applied,
      membership: () => ({ confState: this.#confState, addresses: this.members.all() }),
      keepFrom: () => this.#leadTerm === 0 ? Infinity : this.#followers.keepFrom(this.#raw.status()),
      failed: (error) => this.fail(error),
    });
  }

  /** Loads the stored state into `machine`. Throws `data_loss` on a damaged record. */
  static async load(options: DriverOptions, machine: StateMachine): Promise<Driver> {
    const image = machine.image();
    // Each record goes into the image while the disk reads the next ones; the bytes of all are never held at once.
    await options.disk.loadState((record) => addOrSkip(image, record, options.disk.skippedRecords));
    image.adopt(options.disk.checkpointIndex);
    return new Driver(options, machine);
  }

  /** Begins to take part; an only voter leads at once. */
  begin(): void {
    if (this.isOnlyVoter) this.#raw.campaign();
    this.#scheduleTick();
    this.#pump();
  }

  /** Whether nobody else is needed. */
  get isOnlyVoter(): boolean {
    const { voters, votersOutgoing } = this.#raw.status().confState;
    return voters.length === 1 && votersOutgoing.length === 0 && voters[0] === this.#options.self.memberID;
  }

  /** Index of the last entry that the state contains. */
  get applied(): number {
    return this.#applied;
  }

  get confState(): ConfState {
    return this.#confState;
  }

  /** True once this member leads and its state contains everything that was committed before. */
  get serving(): boolean {
    return this.#serving;
  }

  /** On the leader: whether nothing can be committed before somebody has caught up. */
  get lacksMajority(): boolean {
    const { members, confState, id: self } = this.#raw.status();
    const follows = members.filter(({ id, active, state }) =>
      id === self || (active && state === "replicate")
    );
    return quorumIndex(confState, (voter) => follows.some(({ id }) => id === voter) ? 1 : 0) === 0;
  }

  /** See `RawNode.retime`. */
  retime(timing: RaftTiming): void {
    if (this.#isOver) return;
    this.#raw.retime(timing);
    this.#electionTicks = timing.electionTicks;
  }

  /** See `RaftMember.limitLog`. */
  limitLog({ checkpointEntries, keptEntries, oldSnapshots }: LogLimits): void {
    this.#checkpointer.entries = checkpointEntries;
    this.#options.disk.keptEntries = keptEntries;
    this.#options.disk.oldSnapshots = oldSnapshots;
  }

  status(): RaftStatus {
    return this.#raw.status();
  }

  /** See `Consensus.propose`. */
  propose(data: Uint8Array, local?: unknown): Promise<number> {
    if (data.length > MAX_ENTRY_BYTES) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot propose ${data.length} bytes: the limit is ${MAX_ENTRY_BYTES}`,
      );
    }
    return this.#propose(frameState(data), local);
  }

  /** Tells everybody where a member is found. Rejects as {@linkcode propose} does. */
  proposeAddress(member: MemberAddress): Promise<number> {
    return this.#propose(frameAddress(member), undefined);
  }

  /** Asks the core for a change of membership; `done` resolves when it is applied here. */
  changeMembers(changes: readonly MemberChange[]): ConfChangeResult & { done?: Promise<number> } {
    this.#requireServing();
    const result = this.#raw.proposeConfChange(changes);
    if (!result.ok) return result;
    const done = this.#proposals.wait(result.index, result.term);
    this.#schedule();
    return { ...result, done };
  }

  /** Begins to hand leadership to `memberID`; false if that is not possible. */
  transferLeadership(memberID: number): boolean {
    // Proposals that wait go in first: while it hands over, the core refuses new ones.
    this.#handIn();
    const { ok } = this.#raw.transferLeadership(memberID);
    this.#schedule();
    return ok;
  }

  /** See `Consensus.readBarrier`. */
  readBarrier(): Promise<void> {
    this.#requireRunning();
    const read = this.#reads.wait();
    this.#schedule();
    return read;
  }

  /** Takes in a message from another member. */
  step(message: Message): StepOutcome {
    if (this.#error !== undefined || this.#stopping) return "not_for_me";
    const outcome = this.#guard(() => this.#raw.step(message)) ?? "not_for_me";
    this.#schedule();
    return outcome;
  }

  /** Begins to take in a snapshot, in place of one that is still on its way. */
  beginSnapshot(): IncomingSnapshot {
    this.#requireRunning();
    return this.#incoming.begin({ state: this.#options.disk.stage(), image: this.#machine.image() });
  }

  /** Takes in a snapshot message whose state is complete; the core may have no use for it. */
  stepSnapshot(message: Message & { type: "snapshot" }, snapshot: ArrivedSnapshot): StepOutcome {
    const outcome = this.step(message);
    const isTaken = !this.#isOver && this.#raw.pendingSnapshot === message.snapshot;
    if (isTaken) this.#incoming.taken(message.snapshot, snapshot);
    else this.#incoming.drop(snapshot);
    return outcome;
  }

  /** A snapshot will not be complete. */
  dropSnapshot(snapshot: IncomingSnapshot): void {
    this.#incoming.drop(snapshot);
  }

  /** Messages to a member were lost. */
  reportUnreachable(memberID: number): void {
    if (this.#isOver) return;
    this.#guard(() => this.#raw.reportUnreachable(memberID));
    this.#schedule();
  }

  /** The stream of a member's messages broke off. */
  reportLost(memberID: number): void {
    if (this.#isOver) return;
    this.#guard(() => this.#raw.reportLost(memberID));
  }

  /** The snapshot for a member has arrived, or will not. */
  reportSnapshot(memberID: number, arrived: boolean): void {
    if (this.#isOver) return;
    this.#guard(() => this.#raw.reportSnapshot(memberID, arrived));
    this.#schedule();
  }

  /** The end: a member that cannot write, or whose state machine cannot go on, must not pretend. */
  fail(error: unknown): void {
    if (this.#error !== undefined) return;
    this.#error = error instanceof Error ? error : new Error(String(error));
    this.#halt(this.#error);
    this.#options.hooks.failed(this.#error);
  }

  /** Resolves when no proposal is under way any more. */
  drained(): Promise<void> {
    return this.#proposals.size === 0 ? Promise.resolve() : this.#idle.promise;
  }

  /** Resolves when this member does not lead, or has stopped. */
  deposed(): Promise<void> {
    return this.#leadTerm === 0 ? Promise.resolve() : this.#deposed.promise;
  }

  /** Stops at once, but for a write that is under way. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#halt(new CoveyError("unknown", "Cannot tell the outcome: the member was stopped"));
    await this.#incoming.stop();
    await this.#writing;
    await this.#checkpointer.hold();
  }

  get #isOver(): boolean {
    return this.#error !== undefined || this.#stopping;
  }

  #halt(error: Error): void {
    this.#cancelTick();
    this.#serving = false;
    this.#leadTerm = 0;
    this.#proposals.fail(error);
    this.#reads.fail(error);
    this.#idle.resolve();
    this.#deposed.resolve();
  }

  #guard<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (thrown) {
      this.fail(thrown);
      return undefined;
    }
  }

  #requireRunning(): void {
    if (this.#error !== undefined) throw this.#error;
    if (this.#stopping) throw new CoveyError("unavailable", "Cannot go on: the member is not running");
  }

  #requireServing(): void {
    this.#requireRunning();
    if (!this.#serving) {
      throw notLeading("propose", "this manager is not the leader");
    }
  }

  /** While a write is out the proposal waits: it shares a message and a write with all that come until then. */
  #propose(data: Uint8Array, local: unknown): Promise<number> {
    this.#requireServing();
    const { freshBytes } = this.#proposals;
    const isFull = freshBytes + data.length > this.#options.config.maxUncommittedBytes;
    if (freshBytes > 0 && isFull) throw tooMuchUncommitted();
    if (!this.#storing) this.#schedule();
    return this.#proposals.add(data, local);
  }

  /** Gives the core what has gathered, as one batch if it takes it. */
  #handIn(): void {
    const { fresh } = this.#proposals;
    if (fresh.length === 0) return;
    const whole = this.#raw.propose(fresh.map(({ data }) => data));
    for (let nth = 0; fresh.length > 0; nth++) {
      const result = whole.ok ? whole : this.#raw.propose([fresh[0]!.data]);
      if (!result.ok) this.#proposals.refuse(refusal(result.reason));
      else this.#proposals.enter(whole.ok ? result.index + nth : result.index, result.term);
    }
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#options.clock.setTimer(TICK_MS, () => {
      if (this.#isOver) return;
      this.#scheduleTick();
      this.#guard(() => this.#tick());
      this.#pump();
    });
  }

  #tick(): void {
    this.#raw.tick();
    this.#followers.tick(this.#leadTerm === 0 ? undefined : this.#raw.status());
    for (const id of this.#reads.tick(2 * this.#electionTicks)) {
      this.#raw.forgetRead(id);
      this.#reads.lost(id, new CoveyError("unavailable", "Cannot read: the leader does not answer"));
    }
    this.#options.hooks.ticked();
  }

  /** What comes in the same turn shares a write and a message. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#isOver || this.#pumping) return;
    this.#pumping = true;
    try {
      if (!this.#storing) this.#handIn();
      if (this.#reads.hasFresh) this.#askToRead();
      while (!this.#isOver && this.#raw.hasReady()) this.#process(this.#raw.ready());
      if (!this.#isOver) this.#checkpointer.consider();
    } catch (thrown) {
      this.fail(thrown);
    } finally {
      this.#pumping = false;
    }
    if (this.#proposals.size === 0) {
      this.#idle.resolve();
      this.#idle = Promise.withResolvers<void>();
    }
  }

  #askToRead(): void {
    const result = this.#raw.readIndex();
    if (result.ok) this.#reads.asked(result.id);
    else if (result.reason === "no_leader") {
      this.#reads.refuseFresh(notLeading("read", "there is no leader"));
    } else {
      this.#reads.refuseFresh(
        new CoveyError("resource_exhausted", "Cannot read: too many reads wait", { retryable: true }),
      );
    }
  }

  #process(ready: Ready): void {
    const { hooks } = this.#options;
    if (ready.messages.length > 0) hooks.send(ready.messages);
    if (ready.write) this.#writing = this.#write(ready.write);
    if (ready.softState) this.#follow(ready.softState.role === "leader");
    if (ready.committed.length > 0) this.#apply(ready.committed, ready.confState);
    for (const { id, index } of ready.reads) this.#reads.confirmed(id, index);
    for (const id of ready.lostReads) {
      this.#reads.lost(id, notLeading("read", "the leader has changed"));
    }
    this.#reads.applied(this.#applied);
    if (ready.softState || ready.confState) hooks.changed();
  }

  #follow(leads: boolean): void {
    const term = leads ? this.#raw.status().term : 0;
    if (this.#leadTerm !== 0 && term !== this.#leadTerm) {
      this.#serving = false;
      this.#proposals.fail(
        new CoveyError("unknown", "Cannot tell the outcome: leadership was lost before the commit"),
        notLeading("propose", "this manager is not the leader"),
      );
    }
    this.#leadTerm = term;
    if (leads) return;
    this.#deposed.resolve();
    this.#deposed = Promise.withResolvers<void>();
  }

  #apply(committed: readonly Entry[], confState: ConfState | null): void {
    for (const { index, term, type, data } of committed) {
      try {
        if (type === "normal" && data.length > 0) this.#applyFramed(index, term, data);
      } catch (thrown) {
        throw unreadableEntry(index, term, thrown);
      }
      this.#applied = index;
      this.#checkpointer.applied(data.length);
    }
    if (confState) {
      this.#confState = confState;
      this.members.prune(confState);
    }
    const last = committed.at(-1)!;
    this.#raw.applied(last.index);
    for (const { index, term } of committed) this.#proposals.applied(index, term);
    // Once the first entry of its own term is applied, so is everything that was committed before: the leader may serve.
    if (this.#leadTerm !== 0 && last.term === this.#leadTerm && !this.#serving) {
      this.#serving = true;
      this.#options.hooks.changed();
    }
    if (confState?.removed.includes(this.#options.self.memberID)) this.#options.hooks.removed();
  }

  #applyFramed(index: number, term: number, data: Uint8Array): void {
    const framed = unframe(data);
    if (framed.kind === "state") {
      this.#machine.apply(index, framed.data, this.#proposals.local(index, term));
      return;
    }
    const { memberID } = framed.address;
    if (!this.#confState.removed.includes(memberID)) this.members.set(framed.address);
    this.#options.hooks.changed();
  }

  async #write(batch: WriteBatch): Promise<void> {
    const { disk, hooks } = this.#options;
    const arrived = batch.snapshot ? this.#incoming.take(batch.snapshot) : undefined;
    this.#storing = true;
    try {
      if (batch.snapshot) await this.#checkpointer.hold();
      await disk.write(batch, arrived);
      this.#storing = false;
      if (this.#isOver) return;
      if (batch.snapshot) this.#restore(batch.snapshot, arrived!);
      this.#raw.persisted();
      if (batch.messages.length > 0) hooks.send(batch.messages);
    } catch (thrown) {
      return this.fail(thrown);
    }
    this.#pump();
  }

  #restore(
    { index, confState }: SnapshotMeta,
    { addresses, image }: ArrivedSnapshot,
  ): void {
    image.adopt(index);
    this.#applied = index;
    this.#confState = confState;
    this.members.replace(addresses);
    this.#checkpointer.release();
    this.#options.hooks.changed();
  }

  /** The state as it is now can be sent to any member that it knows of. */
  #offerSnapshot(to: number): SnapshotMeta | null {
    const { voters, votersOutgoing, learners, learnersNext } = this.#confState;
    if (![voters, votersOutgoing, learners, learnersNext].some((ids) => ids.includes(to))) return null;
    const term = this.#options.disk.term(this.#applied);
    return term === undefined ? null : { index: this.#applied, term, confState: this.#confState };
  }

  /** The image that belongs to a snapshot message, which has to be asked for in the turn that sends it. */
  snapshotData({ index }: SnapshotMeta): SnapshotData | undefined {
    if (index !== this.#applied) return undefined;
    return { addresses: this.members.all(), records: this.#machine.records() };
  }
}
