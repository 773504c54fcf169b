/** Consensus by a Raft quorum, of one member or of many. */
import { dirname } from "node:path";
import { getLogger } from "@logtape/logtape";
import { type Clock, sleep } from "../../../api/clock.ts";
import { CoveyError } from "../../../api/errors.ts";
import { RAFT_METHODS, type RaftLeaveRequest } from "../../../api/raft.ts";
import type { Random } from "../../../api/random.ts";
import type { ClientStreamHandler, Dialer, Method } from "../../../transport/mod.ts";
import { type Consensus, type ConsensusStatus, MAX_ENTRY_BYTES, type Member } from "../consensus.ts";
import type { Disk } from "../disk/disk.ts";
import { openKvDisk } from "../disk/kv_disk.ts";
import { lockFolder, type Unlock } from "../disk/folder_lock.ts";
import { SealedDisk } from "../disk/sealed_disk.ts";
import type { StateMachine } from "../state_machine.ts";
import { DiskStorage } from "../disk/disk_storage.ts";
import { DEFAULT_RAFT_CONFIG, type Message, type RaftTiming } from "../../raft/mod.ts";
import { CHECKPOINT_BYTES, CHECKPOINT_ENTRIES } from "./checkpointer.ts";
import type { LogLimits } from "./driver_options.ts";
import { Driver } from "./driver.ts";
import { FRAME_BYTES } from "./entry_frame.ts";
import { memberIDs, MembershipChanges } from "../membership/membership_changes.ts";
import { callLeader } from "../membership/membership_client.ts";
import { PeerNetwork } from "../peers/peer_network.ts";
import { RaftDisk } from "../disk/raft_disk.ts";
import { noteSkips, type Skip } from "./skipping.ts";
import { RaftService, type ServedMember } from "./raft_service.ts";

/** Options of {@linkcode RaftMember.open}. */
export interface RaftMemberOptions {
  nodeID: string;
  /** HOST:PORT of this manager. */
  address: string;
  clock: Clock;
  random: Random;
  /** Reaches other managers with this one's certificate. */
  dialer: Dialer;
  /** On an empty disk: wait to be added to a cluster instead of starting one. */
  join?: boolean;
  /** Makes this member the only one, after the majority was lost for good. */
  forceNewCluster?: boolean;
  /** What to pass over from now on, because it cannot be read. */
  skip?: Skip;
  /** What seals the disk, the newest last; left out, all is written in clear. */
  dataKeys?: readonly Uint8Array[];
  /** Ticks of 100 ms without a leader before an election. @default DEFAULT_RAFT_CONFIG.electionTicks */
  electionTicks?: number;
  /** Longest wait for an answer to a join, and again until this member votes. @default JOIN_TIMEOUT_MS, CATCH_UP_TIMEOUT_MS */
  joinTimeoutMs?: number;
  /** Entries in the log before a checkpoint is written. @default CHECKPOINT_ENTRIES */
  checkpointEntries?: number;
  /** Bytes in the log before a checkpoint is written. @default CHECKPOINT_BYTES */
  checkpointBytes?: number;
}

/** How a member leaves. */
export interface LeaveOptions {
  /** Managers to ask besides those that this member knows of, HOST:PORT. */
  through?: readonly string[];
  /** Has the cluster forget the node too, if that never had a session: it never got in. */
  withdraw?: boolean;
  signal?: AbortSignal;
}

/** Longest wait, when stopping, for what is under way and for another to lead. */
const STOP_GRACE_MS = 1_000;
/** Longest wait for an answer to a join: there may be no leader for a while. */
const JOIN_TIMEOUT_MS = 120_000;
/** Longest wait until a new member votes: the largest snapshot takes 134 s to send, and longer over a slow link. */
const CATCH_UP_TIMEOUT_MS = 300_000;
/** How often a joining member looks whether it is in. */
const JOIN_POLL_MS = 50;
/** How often it asks again meanwhile: a learner says nothing by itself, so nobody would tell it that it was removed. */
const JOIN_ASK_MS = 5_000;
/** How often a member that was removed by its own log asks the others. */
const FAREWELL_ASK_MS = 500;
/** Longest wait until the cluster has let a member go. */
const LEAVE_TIMEOUT_MS = 15_000;

const logger = getLogger(["covey", "quorum"]);

/** One member of the quorum. */
export class RaftMember implements Consensus {
  readonly failed: Promise<Error>;
  /** Resolves when the cluster has removed this member, which has then stopped; never otherwise. */
  readonly removed: Promise<Error>;
  readonly #disk: Disk;
  readonly #storage: DiskStorage;
  readonly #options: RaftMemberOptions;
  readonly #unlock: Unlock;
  readonly #self;
  readonly #listeners = new Set<(status: ConsensusStatus) => void>();
  readonly #reportFailure: (error: Error) => void;
  readonly #reportRemoval: (error: Error) => void;
  states: RaftDisk | undefined;
  #member: ServedMember | undefined;
  #status: ConsensusStatus;
  #isRemoved = false;
  readonly #farewell = new AbortController();
  readonly #sealing = new AbortController();
  #resealed: Promise<void> = Promise.resolve();
  #phase: "opened" | "starting" | "running" | "stopping" | "stopped" = "opened";
  #stopped: Promise<void> | undefined;

  private constructor(disk: Disk, storage: DiskStorage, options: RaftMemberOptions, unlock: Unlock) {
    this.#disk = disk;
    this.#storage = storage;
    this.#options = options;
    this.#unlock = unlock;
    const { nodeID, address, random } = options;
    this.#self = { memberID: storage.identity?.memberID ?? newMemberID(random), nodeID, address };
    const failed = Promise.withResolvers<Error>();
    this.failed = failed.promise;
    this.#reportFailure = failed.resolve;
    const removed = Promise.withResolvers<Error>();
    this.removed = removed.promise;
    this.#reportRemoval = removed.resolve;
    this.#status = { isLeader: false, leaderNodeID: undefined, term: 0, appliedIndex: 0, members: [] };
    void disk.failed.then((error) => this.#fail(error));
  }

  /**
   * Opens a member on the Deno KV file `kvPath`, new or as it was. Throws `failed_precondition` if another process has
   * its folder or the state is another node's, and `data_loss` naming the record if the disk is damaged.
   */
  static async open(kvPath: string, options: RaftMemberOptions): Promise<RaftMember> {
    const unlock = await lockFolder(dirname(kvPath));
    try {
      return await RaftMember.openOnDisk(await openKvDisk(kvPath), options, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** As {@linkcode open}, on a disk that the caller has made and that nobody else uses. */
  static async openOnDisk(
    disk: Disk,
    options: RaftMemberOptions,
    unlock: Unlock = () => {},
  ): Promise<RaftMember> {
    try {
      const { clock, dataKeys } = options;
      if (dataKeys !== undefined) disk = await SealedDisk.open(disk, dataKeys);
      const storage = await DiskStorage.open(disk, clock);
      const { nodeID } = storage.identity ?? options;
      if (nodeID !== options.nodeID) {
        throw new CoveyError(
          "failed_precondition",
          `Cannot use the state: it is of node ${nodeID}, not ${options.nodeID}`,
        );
      }
      return new RaftMember(disk, storage, options, unlock);
    } catch (error) {
      await disk.close();
      throw error;
    }
  }

  /** Resolves when the state is loaded; for an only member, when it leads. */
  async start(machine: StateMachine): Promise<void> {
    if (this.#phase !== "opened") {
      throw new CoveyError("failed_precondition", "Cannot start: already started");
    }
    this.#phase = "starting";
    const { clock, dialer } = this.#options;
    const self = this.#self;
    await noteSkips(this.#storage, machine, this.#options.skip ?? { entries: [], records: [] });
    const disk = await this.#prepareDisk();
    const network: PeerNetwork = new PeerNetwork({
      self,
      clock,
      dialer,
      member: (id) => this.#member?.driver.members.get(id),
      hurries: () => this.#member?.driver.lacksMajority ?? false,
      hooks: {
        unreachable: (id) => this.#member?.driver.reportUnreachable(id),
        snapshotDone: (id, arrived) => this.#member?.driver.reportSnapshot(id, arrived),
        removed: () => this.#remove(),
      },
    });
    const driver = await Driver.load(this.#driverOptions(disk, network), machine);
    const learned = (id: number) => network.addressOf(id);
    const changes = new MembershipChanges({ driver, self, clock, dialer, learned });
    this.#member = { driver, network, changes, self };
    this.#phase = "running";
    driver.begin();
    this.#refresh();
    if (driver.confState.removed.includes(self.memberID)) return this.#awaitDismissal();
    if (!driver.isOnlyVoter) return;
    await this.#untilLeading();
    if (driver.members.get(self.memberID)?.address !== self.address) await driver.proposeAddress(self);
  }

  async propose(entry: Uint8Array, local?: unknown): Promise<number> {
    return await this.#running().driver.propose(entry, local);
  }

  async readBarrier(): Promise<void> {
    await this.#running().driver.readBarrier();
  }

  status(): ConsensusStatus {
    return { ...this.#status, appliedIndex: this.#member?.driver.applied ?? 0 };
  }

  subscribe(listener: (status: ConsensusStatus) => void): () => void {
    const own = (status: ConsensusStatus) => listener(status);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Elections and heartbeats in ticks of 100 ms, from now on. Throws `invalid_argument` for what does not fit together. */
  retime(timing: RaftTiming): void {
    this.#member?.driver.retime(timing);
  }

  /** How much the log keeps, from now on. */
  limitLog(limits: LogLimits): void {
    this.#member?.driver.limitLog(limits);
  }

  /** Seals all that is on disk anew, as `SealedDisk.useKeys` does; rejects with `canceled` once the member stops. */
  useDataKeys(keys: readonly Uint8Array[]): Promise<void> {
    const disk = this.#disk, { clock } = this.#options, { signal } = this.#sealing;
    if (!(disk instanceof SealedDisk)) throw new Error("Cannot seal a disk that was opened in clear");
    return this.#resealed = this.#resealed.then(() => disk.useKeys(keys, { clock, signal }));
  }

  /** What other managers call, to be registered with the transport. */
  methods(): Record<string, Method> {
    return this.#service().methods();
  }

  /** The answer to `raft.messages` for a node that is no manager any more. See {@linkcode RaftService.farewell}. */
  farewell(refusal: CoveyError): ClientStreamHandler {
    return (items) => this.#service().farewell(items, refusal);
  }

  #service(): RaftService {
    return new RaftService(() => this.#phase === "running" ? this.#member : undefined);
  }

  /** Whether this member votes, as far as it knows. */
  get isVoter(): boolean {
    return this.#member?.driver.confState.voters.includes(this.#self.memberID) ?? false;
  }

  /** Asks to be added through any of `addresses`, and waits until this member votes. */
  async join(addresses: readonly string[], signal?: AbortSignal): Promise<void> {
    const { clock, dialer } = this.#options;
    const { nodeID, memberID, address } = this.#self;
    const timeoutMs = this.#options.joinTimeoutMs ?? JOIN_TIMEOUT_MS;
    const more = signal ? { signal } : {};
    const ask = () =>
      callLeader({
        dialer,
        clock,
        addresses: () => [...addresses],
        timeoutMs,
        ...more,
        method: RAFT_METHODS.join,
        request: { NodeID: nodeID, MemberID: memberID, Addr: address },
      });
    await ask();
    let asked = clock.monotonic();
    const deadline = asked + (this.#options.joinTimeoutMs ?? CATCH_UP_TIMEOUT_MS);
    while (!this.isVoter) {
      const now = clock.monotonic();
      if (now - asked > JOIN_ASK_MS) {
        await ask();
        asked = clock.monotonic();
      }
      if (now > deadline) {
        throw new CoveyError(
          "deadline_exceeded",
          "Cannot join: the leader has not made this manager a voter",
        );
      }
      await sleep(clock, JOIN_POLL_MS, signal);
    }
  }

  /**
   * Has this member removed, after handing over leadership. Throws `failed_precondition` if the rest could not go on, and
   * what the last attempt failed with when time is up: then it may or may not be removed.
   */
  async leave({ through = [], withdraw = false, signal }: LeaveOptions = {}): Promise<void> {
    const { clock, dialer } = this.#options;
    const { nodeID } = this.#self;
    const others = () =>
      this.status().members.filter((member) => member.nodeID !== nodeID).map(({ address }) => address);
    if (this.status().isLeader) await this.handOver();
    const done = new AbortController();
    const call = callLeader({
      dialer,
      clock,
      timeoutMs: LEAVE_TIMEOUT_MS,
      addresses: () => [...new Set([...others(), ...through])],
      method: withdraw ? RAFT_METHODS.withdraw : RAFT_METHODS.leave,
      request: { NodeID: nodeID } satisfies RaftLeaveRequest,
      signal: signal ? AbortSignal.any([signal, done.signal]) : done.signal,
    });
    await Promise.race([call, this.removed]).finally(() => done.abort());
  }

  /** On the leader: removes the members of a node. See {@linkcode MembershipChanges.remove}. */
  async removeNode(nodeID: string): Promise<void> {
    await this.#running().changes.remove(nodeID);
  }

  /** Hands leadership to another; resolves when this member leads no more, or cannot get rid of it in time. */
  async handOver(): Promise<void> {
    const { changes, driver } = this.#running();
    if (!changes.handOver()) return;
    const { clock } = this.#options;
    for (let waited = 0; driver.serving && waited < STOP_GRACE_MS; waited += JOIN_POLL_MS) {
      await sleep(clock, JOIN_POLL_MS);
    }
  }

  stop(): Promise<void> {
    return this.#stopped ??= this.#stop();
  }

  async #stop(): Promise<void> {
    const wasRunning = this.#phase === "running";
    const member = this.#member;
    if (member && wasRunning) await this.#retire(member);
    this.#phase = "stopped";
    this.#farewell.abort();
    this.#sealing.abort(new CoveyError("canceled", "Cannot go on sealing the state: the member stops"));
    await member?.driver.stop();
    await member?.network.close();
    await this.#resealed.catch(() => {});
    await this.#disk.close().finally(this.#unlock);
  }

  /** Takes nothing new, finishes what is under way, and lets another lead rather than be missed. */
  async #retire({ driver, changes }: ServedMember): Promise<void> {
    const handsOver = driver.serving && changes.handOver();
    this.#phase = "stopping";
    this.#refresh();
    const { clock } = this.#options;
    const abort = new AbortController();
    const grace = sleep(clock, STOP_GRACE_MS, abort.signal).catch(() => {});
    await Promise.race([driver.drained(), grace]);
    if (handsOver) {
      await Promise.race([driver.deposed(), grace]);
    }
    abort.abort();
  }

  async #prepareDisk(): Promise<RaftDisk> {
    const storage = this.#storage;
    const { join = false, forceNewCluster = false } = this.#options;
    const { memberID, nodeID } = this.#self;
    if (storage.identity === undefined) await storage.saveIdentity({ memberID, nodeID, founder: !join });
    const disk = this.states = await RaftDisk.open(storage);
    const isNew = storage.membership.confState.voters.length === 0 && disk.lastIndex() === 0;
    if (isNew && storage.identity!.founder) await disk.bootstrap(this.#self);
    else if (forceNewCluster) await disk.forceSingleMember(memberID);
    return disk;
  }

  #driverOptions(disk: RaftDisk, network: PeerNetwork) {
    const { clock, random, electionTicks, checkpointEntries, checkpointBytes } = this.#options;
    return {
      disk,
      self: this.#self,
      clock,
      config: {
        ...DEFAULT_RAFT_CONFIG,
        ...(electionTicks !== undefined && { electionTicks }),
        id: this.#self.memberID,
        maxEntryBytes: MAX_ENTRY_BYTES + FRAME_BYTES,
        random: () => random.float(),
      },
      limits: {
        entries: checkpointEntries ?? CHECKPOINT_ENTRIES,
        bytes: checkpointBytes ?? CHECKPOINT_BYTES,
      },
      hooks: {
        send: (messages: readonly Message[]) => this.#send(messages, network),
        changed: () => this.#refresh(),
        ticked: () => this.#tick(),
        removed: () => this.#awaitDismissal(),
        failed: (error: Error) => this.#fail(error),
      },
    };
  }

  #send(messages: readonly Message[], network: PeerNetwork): void {
    const plain: Message[] = [];
    for (const message of messages) {
      if (message.type !== "snapshot") plain.push(message);
      else network.sendSnapshot(message, this.#member?.driver.snapshotData(message.snapshot));
    }
    network.send(plain);
  }

  #tick(): void {
    this.#member?.changes.tick();
    // Nothing tells of a member that cannot be reached any more, so it is looked at with each tick.
    this.#refresh();
  }

  /** Recomputes the status and tells the listeners if it has changed. */
  #refresh(): void {
    if (this.#member === undefined) return;
    const before = this.#status;
    this.#status = this.#currentStatus(this.#member);
    if (JSON.stringify({ ...before, appliedIndex: 0 }) === JSON.stringify(this.#status)) return;
    if (before.isLeader && !this.#status.isLeader) this.#member.network.cancelSnapshots();
    this.#member.network.forget(this.#member.driver.confState.removed);
    const status = this.status();
    for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) tell(listener, status);
  }

  #currentStatus({ driver, network, self }: ServedMember): ConsensusStatus {
    const { leader, term, members: tracked } = driver.status();
    const isRunning = this.#phase === "running";
    const isLeader = isRunning && driver.serving;
    const { voters } = driver.confState;
    const active = new Map(tracked.map(({ id, active }) => [id, active]));
    const members = [...memberIDs(driver.confState)].map((memberID): Member => {
      const { nodeID = "", address = "" } = driver.members.get(memberID) ?? network.addressOf(memberID) ?? {};
      const reachable = memberID === self.memberID
        ? isRunning && leader !== 0
        : active.get(memberID) ?? network.reachable(memberID);
      return { memberID, nodeID, address, learner: !voters.includes(memberID), reachable };
    });
    const leaderNodeID = leader === self.memberID
      ? isLeader ? self.nodeID : undefined
      : isRunning
      ? driver.members.get(leader)?.nodeID
      : undefined;
    return { isLeader, leaderNodeID, term, appliedIndex: 0, members };
  }

  #running(): ServedMember {
    if (this.#phase === "running" && this.#member) return this.#member;
    throw new CoveyError("unavailable", "Cannot go on: the member is not running");
  }

  #untilLeading(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const unsubscribe = this.subscribe(({ isLeader }) => isLeader && resolve());
    void this.failed.then(reject);
    if (this.status().isLeader) resolve();
    return promise.finally(unsubscribe);
  }

  /**
   * By its own log this member is out. A leader that commits its own removal may be the only one that knows, and the
   * others need its vote to find out: it stays until one of them says that it is not needed.
   */
  #awaitDismissal(): void {
    const { signal } = this.#farewell;
    const { driver, network } = this.#member!;
    const { clock } = this.#options;
    void (async () => {
      while (!signal.aborted) {
        if (await network.anyoneSaysRemoved(driver.confState.voters, signal)) return this.#remove();
        await sleep(clock, FAREWELL_ASK_MS, signal);
      }
    })().catch(() => {});
  }

  #remove(): void {
    if (this.#isRemoved || this.#phase === "stopped") return;
    this.#isRemoved = true;
    this.#farewell.abort();
    const error = new CoveyError("failed_precondition", "This manager was removed from the cluster");
    this.#member?.driver.fail(error);
  }

  #fail(error: Error): void {
    this.#farewell.abort();
    this.#member?.driver.fail(error);
    if (this.#phase !== "stopped") this.#refresh();
    if (this.#isRemoved) this.#reportRemoval(error);
    else this.#reportFailure(error);
  }
}

/** What a listener throws is its own fault, and no reason for the member to stop. */
function tell(listener: (status: ConsensusStatus) => void, status: ConsensusStatus): void {
  try {
    listener(status);
  } catch (error) {
    logger.error("A listener failed at a change of the quorum's status: {error}", { error });
  }
}

/** Random and never 0, which means nobody. */
function newMemberID(random: Random): number {
  const view = new DataView(random.bytes(6).buffer);
  return view.getUint16(0) * 2 ** 32 + view.getUint32(2) + 1;
}
