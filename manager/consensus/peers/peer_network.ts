/** All other members as this one reaches them. */
import { SayOnce } from "../../../api/say_once.ts";
import { getLogger } from "@logtape/logtape";
import type { Clock } from "../../../api/clock.ts";
import type { Dialer } from "../../../transport/mod.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";
import type { MemberID, Message } from "../../raft/mod.ts";
import { askWhetherOut, type PeerAddress, PeerLink } from "./peer_link.ts";
import type { SnapshotData } from "../disk/raft_disk.ts";
import { sendSnapshot } from "./snapshot_stream.ts";

const logger = getLogger(["covey", "quorum"]);

/** What the network tells the driver. */
export interface PeerNetworkHooks {
  unreachable(id: MemberID): void;
  snapshotDone(id: MemberID, arrived: boolean): void;
  removed(): void;
}

/** What a {@linkcode PeerNetwork} works with. */
export interface PeerNetworkOptions {
  self: MemberAddress;
  clock: Clock;
  dialer: Dialer;
  /** Where the log says that a member is. */
  member: (id: MemberID) => MemberAddress | undefined;
  /** Whether a snapshot is waited for by all. */
  hurries: () => boolean;
  hooks: PeerNetworkHooks;
}

/** Sends to members by their ID. */
export class PeerNetwork {
  readonly #options: PeerNetworkOptions;
  readonly #links = new Map<MemberID, PeerLink>();
  readonly #snapshots = new Map<MemberID, { abort: AbortController; done: Promise<void> }>();
  /** What members said of themselves: newer than what the log says, and all that a new member has. */
  readonly #learned = new Map<MemberID, PeerAddress>();
  #closed = false;
  readonly #said = new SayOnce();

  constructor(options: PeerNetworkOptions) {
    this.#options = options;
  }

  /** Sends in order for each receiver, or reports what cannot be sent. */
  send(messages: readonly Message[]): void {
    for (const message of messages) this.#link(message.to)?.send(message);
  }

  /** Sends a snapshot message and its data beside everything else. */
  sendSnapshot(message: Message & { type: "snapshot" }, data: SnapshotData | undefined): void {
    const { hooks } = this.#options;
    const { to } = message;
    const peer = this.addressOf(to);
    this.#snapshots.get(to)?.abort.abort();
    if (peer === undefined || data === undefined || this.#closed) {
      // Not in the same turn: the core is handing out messages.
      return queueMicrotask(() => hooks.snapshotDone(to, false));
    }
    const abort = new AbortController();
    const done = sendSnapshot(this.#options, peer, this.#hello(to), message, data, abort.signal)
      .catch((thrown) => {
        const text = `Cannot send the state to member ${to}: ${thrown.message}`;
        if (!abort.signal.aborted && this.#said.isNew(text)) logger.warn(text);
        return false;
      })
      .then((arrived) => {
        if (this.#snapshots.get(to)?.abort === abort) this.#snapshots.delete(to);
        if (!abort.signal.aborted) hooks.snapshotDone(to, arrived);
      });
    this.#snapshots.set(to, { abort, done });
  }

  /** Ends transfers of snapshots: this member leads no more. */
  cancelSnapshots(): void {
    for (const { abort } of this.#snapshots.values()) abort.abort();
  }

  /** A member has said, with its certificate, where it is. */
  learn(id: MemberID, peer: PeerAddress): void {
    const known = this.addressOf(id);
    this.#learned.set(id, peer);
    if (known !== undefined && known.address !== peer.address) this.#links.get(id)?.reset();
  }

  /** Where a member is found; its own word counts more than the log's. */
  addressOf(id: MemberID): PeerAddress | undefined {
    return this.#learned.get(id) ?? this.#options.member(id);
  }

  /** False while messages to a member do not get through. */
  reachable(id: MemberID): boolean {
    return this.#links.get(id)?.reachable ?? true;
  }

  /** Whether one of `ids` says that this member was removed, as soon as it does; false when all said no or nothing. */
  async anyoneSaysRemoved(ids: readonly MemberID[], signal: AbortSignal): Promise<boolean> {
    const said = ids.map(async (id) => {
      const peer = this.addressOf(id);
      const isOut = peer && await askWhetherOut(this.#options.dialer, peer.address, this.#hello(id), signal);
      if (!isOut) throw new Error(`member ${id} does not say so`);
    });
    return await Promise.any(said).then(() => true, () => false);
  }

  /** Forgets members that were removed. Strangers stay: a new member knows nobody until it has the state. */
  forget(removed: readonly MemberID[]): void {
    for (const [id, link] of this.#links) {
      if (!removed.includes(id)) continue;
      // The last message may be the one that tells the member of its removal.
      this.#options.clock.setTimer(FAREWELL_MS, () => void link.close());
      this.#links.delete(id);
      this.#learned.delete(id);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.cancelSnapshots();
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await Promise.all([...this.#snapshots.values()].map(({ done }) => done));
  }

  #link(id: MemberID): PeerLink | undefined {
    if (this.#closed) return undefined;
    let link = this.#links.get(id);
    if (link === undefined) {
      const { clock, dialer, hooks } = this.#options;
      link = new PeerLink({
        clock,
        dialer,
        hello: this.#hello(id),
        address: () => this.addressOf(id),
        // Later: the driver may be in the middle of handing out messages.
        unreachable: () => queueMicrotask(() => hooks.unreachable(id)),
        removed: () => hooks.removed(),
      });
      this.#links.set(id, link);
    }
    return link;
  }

  #hello(to: MemberID) {
    const { memberID, address } = this.#options.self;
    return { From: memberID, To: to, Addr: address };
  }
}

/** Time for the last messages to a member that was removed. */
const FAREWELL_MS = 1_000;
