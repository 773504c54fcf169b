/** What other managers may call. */
import { CoveyError } from "../../../api/errors.ts";
import {
  RAFT_METHODS,
  type RaftHealth,
  type RaftHello,
  type RaftJoinRequest,
  type RaftMembershipResponse,
  type RaftStreamEnd,
} from "../../../api/raft.ts";
import {
  type CallContext,
  formatAddress,
  type Method,
  parseAddress,
  type PeerIdentity,
} from "../../../transport/mod.ts";
import { quoted } from "../../../api/validate/mod.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";
import type { Driver } from "./driver.ts";
import type { MembershipChanges } from "../membership/membership_changes.ts";
import type { PeerNetwork } from "../peers/peer_network.ts";
import { receiveSnapshot } from "../peers/snapshot_stream.ts";
import { decodeHello, decodeMessage, isAddress } from "../peers/wire.ts";

/** The parts of a running member that calls reach. */
export interface ServedMember {
  driver: Driver;
  network: PeerNetwork;
  changes: MembershipChanges;
  self: MemberAddress;
}

/** Answers calls once the member runs; before that they are `unavailable`. */
export class RaftService {
  readonly #member: () => ServedMember | undefined;

  constructor(member: () => ServedMember | undefined) {
    this.#member = member;
  }

  /** The calls by name, to be registered with the transport. */
  methods(): Record<string, Method> {
    const access = "manager";
    return {
      [RAFT_METHODS.messages]: {
        kind: "client_stream",
        access,
        handler: (items, { peer }) => this.#messages(items, peer!),
      },
      [RAFT_METHODS.snapshot]: {
        kind: "client_stream",
        access,
        handler: (items, { peer }) => this.#snapshot(items, peer!),
      },
      [RAFT_METHODS.health]: { kind: "unary", access, handler: () => Promise.try(() => this.#health()) },
      [RAFT_METHODS.join]: {
        kind: "unary",
        access,
        handler: (request, context) => this.#join(request, context),
      },
      [RAFT_METHODS.leave]: {
        kind: "unary",
        access,
        handler: (request, { peer }) => this.#leave(request, peer!),
      },
    };
  }

  /** Tells a node that is no manager any more that its member is out; fails with `refusal` where that is not known here. */
  async farewell(items: AsyncIterable<unknown>, refusal: CoveyError): Promise<RaftStreamEnd> {
    const { driver } = this.#running();
    const { From } = decodeHello((await items[Symbol.asyncIterator]().next()).value);
    if (driver.confState.removed.includes(From)) return { Removed: true };
    throw refusal;
  }

  #running(): ServedMember {
    const member = this.#member();
    if (member) return member;
    throw new CoveyError("unavailable", "Cannot answer: this manager is not running yet");
  }

  async #messages(items: AsyncIterable<unknown>, peer: PeerIdentity): Promise<RaftStreamEnd> {
    const { driver, network, self } = this.#running();
    const stream = items[Symbol.asyncIterator]();
    const hello = decodeHello((await stream.next()).value);
    // Asked before the rest of the greeting is checked: a member that was away for long may be right about nothing but itself.
    if (driver.confState.removed.includes(hello.From)) return { Removed: true };
    checkSender(hello, peer, driver, self);
    network.learn(hello.From, { nodeID: peer.nodeID, address: hello.Addr });
    try {
      for (let next = await stream.next(); !next.done; next = await stream.next()) {
        if (takeMessages(driver, next.value, hello.From, peer) === "removed_sender") return { Removed: true };
      }
    } catch (thrown) {
      driver.reportLost(hello.From);
      throw thrown;
    }
    return {};
  }

  async #snapshot(items: AsyncIterable<unknown>, peer: PeerIdentity): Promise<RaftStreamEnd> {
    const { driver, self } = this.#running();
    const stream = items[Symbol.asyncIterator]();
    const hello = decodeHello((await stream.next()).value);
    checkSender(hello, peer, driver, self);
    const incoming = driver.beginSnapshot();
    try {
      const { message, addresses } = await receiveSnapshot(stream, incoming);
      if (message.from !== hello.From) throw notYours(peer, message.from);
      return { Arrived: driver.stepSnapshot(message, { ...incoming, addresses }) === "stepped" };
    } catch (thrown) {
      driver.dropSnapshot(incoming);
      throw thrown;
    }
  }

  #health(): RaftHealth {
    const { self } = this.#running();
    return { NodeID: self.nodeID, MemberID: self.memberID };
  }

  async #join(request: unknown, { peer, remoteAddress }: CallContext): Promise<RaftMembershipResponse> {
    const { driver, changes, self } = this.#running();
    const { NodeID, MemberID, Addr } = (request ?? {}) as Partial<RaftJoinRequest>;
    if (NodeID !== peer!.nodeID) throw notYours(peer!, NodeID);
    if (!Number.isSafeInteger(MemberID) || MemberID! <= 0 || !isAddress(Addr)) {
      throw new CoveyError("invalid_argument", "Cannot join: the request lacks the member's ID or address");
    }
    const elsewhere = leaderOf(driver, self);
    if (elsewhere) return elsewhere;
    await changes.add({
      memberID: MemberID!,
      nodeID: NodeID,
      address: reachableAddress(Addr, remoteAddress),
    });
    return {};
  }

  async #leave(request: unknown, peer: PeerIdentity): Promise<RaftMembershipResponse> {
    const { driver, changes, self } = this.#running();
    const { NodeID } = (request ?? {}) as { NodeID?: unknown };
    if (NodeID !== peer.nodeID) throw notYours(peer, NodeID);
    const elsewhere = leaderOf(driver, self);
    if (elsewhere) return elsewhere;
    await changes.remove(peer.nodeID);
    return {};
  }
}

/** Takes in one item of a member's stream. Throws if it is none. */
function takeMessages(
  driver: Driver,
  item: unknown,
  from: number,
  peer: PeerIdentity,
): "removed_sender" | undefined {
  const { Messages } = (item ?? {}) as { Messages?: unknown };
  if (!Array.isArray(Messages)) {
    throw new CoveyError("invalid_argument", "Cannot read Raft messages: none came");
  }
  for (const value of Messages) {
    const message = decodeMessage(value);
    if (message.from !== from) throw notYours(peer, message.from);
    // The message of a snapshot is taken in where its data arrives, on a stream of its own.
    if (message.type !== "snapshot" && driver.step(message) === "removed_sender") return "removed_sender";
  }
  return undefined;
}

/** Whom to ask instead; undefined on the leader. Throws `unavailable` while there is none. */
function leaderOf(driver: Driver, self: MemberAddress): RaftMembershipResponse | undefined {
  if (driver.serving) return undefined;
  const { leader } = driver.status();
  const member = leader === self.memberID ? undefined : driver.members.get(leader);
  if (member) return { Leader: { NodeID: member.nodeID, Addr: member.address } };
  throw new CoveyError("unavailable", "Cannot change the managers: there is no leader at the moment");
}

function checkSender({ From, To }: RaftHello, peer: PeerIdentity, driver: Driver, self: MemberAddress): void {
  if (To !== self.memberID) {
    throw new CoveyError("not_found", `Cannot take messages for member ${To}: this is ${self.memberID}`);
  }
  const known = driver.members.get(From);
  if (From === self.memberID || (known && known.nodeID !== peer.nodeID)) throw notYours(peer, From);
}

function notYours(peer: PeerIdentity, claimed: unknown): CoveyError {
  return new CoveyError(
    "permission_denied",
    `Cannot act as ${quoted(claimed)}: the certificate is of ${peer.nodeID}`,
  );
}

/** An unspecified host means wherever the call comes from. */
function reachableAddress(address: string, remoteAddress: string): string {
  const { host, port } = parseAddress(address);
  if (host !== "" && host !== "0.0.0.0" && host !== "::") return address;
  return formatAddress(parseAddress(remoteAddress).host, port);
}
