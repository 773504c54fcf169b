/**
 * Connections between nodes that do not reach each other, through this manager: from a task of the node that calls to one
 * that serves in the same network. Works on the leader, where all nodes have their sessions.
 *
 *     a node calls ---> checked, counted ---> the other node is asked ---> it has made its call ---> bytes ---> over
 *                           |                          |
 *                           '---- refused, by name ----'
 */
import type { Clock } from "../../api/clock.ts";
import { sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { orAbort } from "../../api/or_abort.ts";
import { newID, type Random } from "../../api/random.ts";
import { TokenBucket } from "../../api/rate_limiter.ts";
import {
  MAX_RELAY_ASKS_PER_NODE,
  MAX_RELAY_PIECE_BYTES,
  MAX_RELAY_RATE,
  MAX_RELAY_RATE_PER_NODE,
  MAX_RELAYED,
  MAX_RELAYED_PER_NODE,
  RELAY_OPEN_MS,
  type RelayAsk,
  type RelayCall,
  type RelayUsage,
} from "../../api/relay.ts";
import type { AssignedBackend } from "../../api/network_assignment.ts";
import type { Store } from "../store/store.ts";
import type { Asker, AskTable, Reach } from "./asks.ts";
import { allowsRelay } from "../cluster/networks.ts";
import { isOnNode } from "./network_map.ts";

/** Pause where the bytes of a second are used up. */
const RATE_PAUSE_MS = 100;

/** What it works with. */
export interface RelayOptions {
  store: Store;
  asks: AskTable;
  clock: Clock;
  random: Random;
  /** Who serves at an address of a network. */
  backend(networkID: string, address: string): AssignedBackend | undefined;
}

/** A node's part. */
interface Party {
  usage: RelayUsage;
  bucket: TokenBucket;
  /** Connections that it is asked for now. */
  asked: number;
}

/** All relayed connections of one manager. */
export class Relay {
  readonly #options: RelayOptions;
  readonly #parties = new Map<string, Party>();
  readonly #all: TokenBucket;
  #open = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#all = bucketOf(options.clock, MAX_RELAY_RATE);
  }

  /** What was relayed for a node; undefined if nothing was. */
  usage(nodeID: string): RelayUsage | undefined {
    const usage = this.#parties.get(nodeID)?.usage;
    return usage && { ...usage };
  }

  /** Forgets a node that has left the cluster. */
  forget(nodeID: string): void {
    if (this.#parties.get(nodeID)?.usage.Open === 0) this.#parties.delete(nodeID);
  }

  /**
   * Connects a task of `nodeID` with who serves at the address, and gives what comes from there; `fromNode` goes there. Throws
   * `permission_denied` for a network of which the node runs nothing or that allows no relay, `not_found` where nothing serves,
   * `resource_exhausted` where a limit is reached, `unavailable` where the other node is away.
   */
  async *open(
    nodeID: string,
    call: RelayCall,
    fromNode: AsyncIterable<unknown>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void> {
    const { asks, clock, random } = this.#options, { SessionID: _, ...wanted } = call;
    const target = this.#target(nodeID, call);
    const [near, far] = this.#take(nodeID, target);
    const meeting = new RelayMeeting({ Kind: "relay", ID: newID(random), ...wanted });
    const either = AbortSignal.any([signal, meeting.over]);
    try {
      meeting.toTarget = this.#passed(fromNode, near, far, either);
      const ask = asks.open(target, meeting);
      far.asked++;
      const cancel = clock.setTimer(RELAY_OPEN_MS, () => meeting.fail(late()));
      const fromTarget = await orAbort(meeting.joined, either).finally(() => {
        cancel();
        far.asked--;
        ask.close();
      });
      yield* this.#passed(fromTarget, far, near, either);
      // The other side may go on to read what this one sends.
      await orAbort(meeting.sent, either);
    } finally {
      meeting.end();
      this.#give(near, far);
    }
  }

  /** The node of the task that is meant. */
  #target(nodeID: string, { NetworkID, Address }: RelayCall): string {
    const { store } = this.#options, network = store.get("networks", NetworkID);
    const denied = (why: string) => new CoveyError("permission_denied", `Cannot relay: ${why}`);
    const isIn = store.find("tasks", "nodeID", nodeID).some((task) =>
      isOnNode(task) && task.NetworkAttachments?.some((each) => each.NetworkID === NetworkID)
    );
    // Of networks that are none of its business a node learns nothing.
    if (network === undefined || !isIn) throw denied(`node ${nodeID} runs nothing in network ${NetworkID}`);
    if (!allowsRelay(network)) throw denied(`network ${network.Spec.Name} does not allow it`);
    const backend = this.#options.backend(NetworkID, Address);
    if (backend !== undefined) return backend.NodeID;
    throw new CoveyError(
      "not_found",
      `Cannot relay: nothing serves at ${Address} in network ${network.Spec.Name}`,
    );
  }

  #take(nodeID: string, target: string): [Party, Party] {
    const near = this.#party(nodeID), far = this.#party(target);
    const full = this.#open >= MAX_RELAYED
      ? `this manager relays ${this.#open} connections, the limit`
      : near.usage.Open >= MAX_RELAYED_PER_NODE
      ? `node ${nodeID} has ${near.usage.Open} connections, the limit`
      : far.usage.Open >= MAX_RELAYED_PER_NODE
      ? `node ${target} has ${far.usage.Open} connections, the limit`
      : far.asked >= MAX_RELAY_ASKS_PER_NODE
      ? `node ${target} is asked for ${far.asked} connections already`
      : undefined;
    if (full) {
      near.usage.Refused++;
      throw new CoveyError("resource_exhausted", `Cannot relay: ${full}`, { retryable: true });
    }
    this.#open++;
    for (const { usage } of new Set([near, far])) {
      usage.Open++;
      usage.Opened++;
    }
    return [near, far];
  }

  #give(near: Party, far: Party): void {
    this.#open--;
    for (const { usage } of new Set([near, far])) usage.Open--;
  }

  #party(nodeID: string): Party {
    const known = this.#parties.get(nodeID);
    if (known) return known;
    const bucket = bucketOf(this.#options.clock, MAX_RELAY_RATE_PER_NODE);
    const party = { usage: { Open: 0, Opened: 0, FromNode: 0, ToNode: 0, Refused: 0 }, bucket, asked: 0 };
    this.#parties.set(nodeID, party);
    return party;
  }

  /** What a node sends, of which anything may come, no faster than both nodes and this manager may have it. */
  async *#passed(
    items: AsyncIterable<unknown>,
    from: Party,
    to: Party,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void> {
    const pieces = items[Symbol.asyncIterator]();
    try {
      while (true) {
        const next = await orAbort(pieces.next(), signal);
        if (next.done) return;
        const piece = next.value;
        if (!(piece instanceof Uint8Array) || piece.length > MAX_RELAY_PIECE_BYTES) {
          throw new CoveyError("invalid_argument", "Cannot relay: a node sends what is no piece of bytes");
        }
        if (piece.length === 0) continue;
        await this.#pay(piece.length, new Set([from.bucket, to.bucket, this.#all]), signal);
        from.usage.FromNode += piece.length;
        to.usage.ToNode += piece.length;
        yield piece;
      }
    } finally {
      void Promise.resolve(pieces.return?.()).catch(() => {});
    }
  }

  async #pay(bytes: number, buckets: Set<TokenBucket>, signal: AbortSignal): Promise<void> {
    for (const bucket of buckets) {
      while (!bucket.take(bytes)) await sleep(this.#options.clock, RATE_PAUSE_MS, signal);
    }
  }
}

function bucketOf(clock: Clock, perSecond: number): TokenBucket {
  return new TokenBucket({ clock, burst: perSecond, perSecond });
}

function late(): CoveyError {
  const message = `Cannot relay: the other node has not answered within ${RELAY_OPEN_MS / 1000} s`;
  return new CoveyError("deadline_exceeded", message);
}

/** Where two nodes meet for one connection. Each ends what it sends by itself. */
class RelayMeeting implements Asker {
  readonly #ask: RelayAsk;
  readonly #over = new AbortController();
  readonly #joined = Promise.withResolvers<AsyncIterable<unknown>>();
  readonly #sent = Promise.withResolvers<void>();
  #isJoined = false;
  /** What the node that is asked is to get. */
  toTarget: AsyncIterable<Uint8Array> | undefined;

  constructor(ask: RelayAsk) {
    this.#ask = ask;
    this.#joined.promise.catch(() => {});
  }

  /** Aborts when this manager leads no longer, or the other node does not come. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** What the node that was asked sends. */
  get joined(): Promise<AsyncIterable<unknown>> {
    return this.#joined.promise;
  }

  /** Resolves when that node was sent all, or wants no more. */
  get sent(): Promise<void> {
    return this.#sent.promise;
  }

  ask(): RelayAsk {
    return this.#ask;
  }

  join(fromNode: AsyncIterableIterator<unknown>): AsyncIterable<unknown> {
    if (this.#isJoined) {
      throw new CoveyError("already_exists", "Cannot relay: the connection is made already");
    }
    this.#isJoined = true;
    this.#joined.resolve(fromNode);
    return this.#counted();
  }

  async *#counted(): AsyncGenerator<unknown, void> {
    try {
      yield* this.toTarget!;
    } finally {
      this.#sent.resolve();
    }
  }

  reached(reach: Reach): void {
    if (reach === "connected") return;
    const [code, why] = reach === "unable"
      ? ["unimplemented", "its agent is of an older version, or has no networks"] as const
      : ["unavailable", "it is not connected"] as const;
    this.fail(new CoveyError(code, `Cannot relay to the task's node: ${why}`));
  }

  ended(reason: CoveyError): void {
    this.fail(reason);
  }

  fail(error: CoveyError): void {
    this.#joined.reject(error);
    this.#over.abort(error);
  }

  end(): void {
    this.fail(new CoveyError("canceled", "Cannot relay: the connection is over"));
  }
}
