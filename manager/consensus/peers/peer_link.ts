/** The way to one other member: a connection that is opened when there is something to send, and its stream. */
import { Backoff, type BackoffLimits } from "../../../api/backoff.ts";
import type { Clock } from "../../../api/clock.ts";
import { CoveyError } from "../../../api/errors.ts";
import { RAFT_METHODS, type RaftHello, type RaftStreamEnd } from "../../../api/raft.ts";
import type { Connection, Dialer } from "../../../transport/mod.ts";
import type { Message } from "../../raft/mod.ts";
import { MessageQueue } from "./message_queue.ts";

/**
 * Pauses after a failed dial or a broken stream, in which messages are dropped. A member that is away for days costs one
 * attempt a second.
 */
const DIAL_PAUSE: BackoffLimits = { minMs: 100, maxMs: 1_000 };
/** Longest handshake: on a link that is slower no heartbeat would arrive in time. */
const DIAL_TIMEOUT_MS = 3_000;

/** Where a member is and who it must prove to be. */
export interface PeerAddress {
  nodeID: string;
  /** HOST:PORT */
  address: string;
}

/** What a link works with. */
export interface PeerLinkOptions {
  hello: RaftHello;
  clock: Clock;
  dialer: Dialer;
  /** Asked for at each dial; undefined while it is not known. */
  address: () => PeerAddress | undefined;
  /** Messages were lost. */
  unreachable: () => void;
  /** The other end says that this member is out. */
  removed: () => void;
}

/** Dials `address` and checks that the node there is the one expected. */
export async function dialPeer(
  dialer: Dialer,
  { nodeID, address }: PeerAddress,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Connection> {
  const connection = await dialManager(dialer, address, timeoutMs, signal);
  if (connection.peer!.nodeID === nodeID) return connection;
  connection.close("another node was expected");
  throw unexpected(address, connection, `manager ${nodeID}`);
}

/** Whether the manager at `address` says that the sender of `hello` was removed. */
export async function askWhetherOut(
  dialer: Dialer,
  address: string,
  hello: RaftHello,
  signal: AbortSignal,
): Promise<boolean> {
  let connection: Connection;
  try {
    connection = await dialManager(dialer, address, DIAL_TIMEOUT_MS, signal);
  } catch (thrown) {
    if (CoveyError.from(thrown).reason === "not_in_cluster") return true;
    throw thrown;
  }
  try {
    const options = { signal, timeoutMs: DIAL_TIMEOUT_MS };
    const end = await connection.clientStream<RaftStreamEnd>(RAFT_METHODS.messages, only(hello), options);
    return end?.Removed === true;
  } finally {
    connection.close();
  }
}

async function dialManager(
  dialer: Dialer,
  address: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const connection = await dialer.dial(address, { timeoutMs, ...(signal && { signal }) });
  if (connection.peer?.role === "swarm-manager") return connection;
  connection.close("a manager was expected");
  throw unexpected(address, connection, "a manager");
}

function unexpected(address: string, { peer }: Connection, wanted: string): CoveyError {
  return new CoveyError(
    "unavailable",
    `Cannot use ${address}: node ${peer?.nodeID ?? "?"} answers there, not ${wanted}`,
  );
}

/** Sends messages, in order, or drops them. */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #abort = new AbortController();
  #moved = new AbortController();
  #queue: MessageQueue | undefined;
  #running: Promise<void> | undefined;
  readonly #backoff = new Backoff(DIAL_PAUSE);
  #pausedUntil = -Infinity;
  #reachable = true;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
  }

  /** False after a failure, until the member answers again. */
  get reachable(): boolean {
    return this.#reachable;
  }

  send(message: Message): void {
    if (this.#abort.signal.aborted) return;
    if (this.#running === undefined) {
      const peer = this.#options.address();
      if (peer === undefined || this.#options.clock.monotonic() < this.#pausedUntil) {
        return this.#options.unreachable();
      }
      this.#queue = new MessageQueue(this.#options.hello, this.#options.clock);
      this.#running = this.#run(this.#queue, peer).finally(() => this.#running = undefined);
    }
    if (!this.#queue!.push(message)) this.#options.unreachable();
  }

  /** The member has moved: the next message goes to the new address. Where it was, nobody may be there to end the connection. */
  reset(): void {
    this.#pausedUntil = -Infinity;
    this.#queue?.end();
    this.#moved.abort(new CoveyError("canceled", "Cannot send: the member has moved"));
  }

  async close(): Promise<void> {
    this.#abort.abort(new CoveyError("canceled", "Cannot send: the member was stopped"));
    this.#queue?.end();
    await this.#running;
  }

  async #run(queue: MessageQueue, peer: PeerAddress): Promise<void> {
    const { clock, dialer, hello, unreachable, removed } = this.#options;
    const moved = this.#moved = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, moved.signal]);
    let connection: Connection | undefined;
    try {
      connection = await dialManager(dialer, peer.address, DIAL_TIMEOUT_MS, signal);
      const isPeer = connection.peer!.nodeID === peer.nodeID;
      this.#reachable = isPeer;
      if (isPeer) this.#backoff.reset();
      // A manager that has taken the member's place gets no messages, but may know that this one is out.
      const items = isPeer ? queue : only(hello);
      const end = await connection.clientStream<RaftStreamEnd>(RAFT_METHODS.messages, items, { signal });
      if (end?.Removed === true) removed();
    } catch (thrown) {
      this.#reachable = false;
      // Refused by a manager: the dialer takes nobody else for one.
      if (CoveyError.from(thrown).reason === "not_in_cluster") removed();
    } finally {
      queue.end();
      connection?.close();
    }
    if (!moved.signal.aborted) this.#pausedUntil = clock.monotonic() + this.#backoff.next();
    if (!this.#abort.signal.aborted) unreachable();
  }
}

async function* only<T>(item: T): AsyncGenerator<T> {
  yield item;
}
