/** The way to whoever leads: finds the leader, keeps a connection to it, and waits while there is none. */
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Dialer } from "../../transport/mod.ts";
import type { Consensus, ConsensusStatus } from "../consensus/mod.ts";
import { type LeaderAddress, LeaderConnections, type Lease, LINGER_MS } from "./leader_connections.ts";
import { fateOf, noLeader, notAManager, outcomeUnknown } from "./outcome.ts";
import { canceled, within } from "./waiting.ts";

/** How long a call waits for a leader that can be reached: ten elections of the slowest default (1 s). */
export const LEADER_WAIT_MS = 10_000;
/** Calls that may wait for a leader: as many as agents may be connected; beyond it they fail at once. */
const MAX_WAITING_CALLS = 10_000;
/**
 * Waits before the same leader is tried a third time and on; a change of the leader ends them early. The second try is at
 * once: it may only have been an old connection that broke.
 */
const RETRY_PAUSE: BackoffLimits = { minMs: 50, maxMs: 1_000 };

/** What a link works with. */
export interface LeaderLinkOptions {
  consensus: Pick<Consensus, "status" | "subscribe">;
  /** This manager's node ID. */
  nodeID: string;
  /** Dials with this manager's certificate and judges that of the other end. */
  dialer: Dialer;
  clock: Clock;
}

/** Something that the leader is to do. */
export interface LeaderWork<R> {
  /** Does it here: this manager leads. May be called again where it says that it does not after all. */
  local: () => R | Promise<R>;
  /** Does it over a connection to the leader. */
  remote: (lease: Lease) => Promise<R>;
  /** Whether it may be done twice, so that a call whose outcome is unknown is made again. */
  idempotent: boolean;
  /** Ends the wait. */
  signal?: AbortSignal;
}

/** One manager's link to the leader of the moment. */
export class LeaderLink {
  readonly #options: LeaderLinkOptions;
  readonly #unsubscribe: () => void;
  readonly #waiting = new Set<() => void>();
  readonly #retired = new Set<LeaderConnections>();
  #current: LeaderConnections | undefined;
  #closed = false;

  constructor(options: LeaderLinkOptions) {
    this.#options = options;
    this.#unsubscribe = options.consensus.subscribe((status) => this.#follow(status));
  }

  /** Whether this manager leads now. */
  get isLeader(): boolean {
    return this.#options.consensus.status().isLeader;
  }

  /**
   * Does `work` wherever the leader is. Rejects with the work's own error; with `unavailable` if no leader could be
   * reached within {@linkcode LEADER_WAIT_MS}, nothing was done; with `unknown` if the connection broke while the
   * leader was at it; with the signal's reason.
   */
  async run<R>(work: LeaderWork<R>): Promise<R> {
    const { clock, consensus } = this.#options, { signal } = work;
    const backoff = new Backoff(RETRY_PAUSE);
    let left = LEADER_WAIT_MS, retryMs = 0;
    let problem: CoveyError | undefined;
    for (;;) {
      this.#checkWanted(signal);
      const leads = this.isLeader;
      const leader = leads ? undefined : this.#leaderOf(consensus.status());
      let since = clock.monotonic();
      if (leads) {
        const tried = await this.#here(work);
        if (!(tried instanceof CoveyError)) return tried.result;
        problem = tried;
      } else if (leader) {
        const lease = await this.#lease(leader, left, signal);
        left -= clock.monotonic() - since;
        const tried = lease instanceof CoveyError ? lease : await this.#try(lease, work);
        if (!(tried instanceof CoveyError)) return tried.result;
        problem = tried;
      }
      if (left <= 0) throw leads ? problem! : leader ? unreachable(leader, problem) : noLeader(problem);
      since = clock.monotonic();
      // The leader may have changed while the last one was tried: then there is nothing to wait for.
      if (leads === this.isLeader && sameLeader(leader, this.#leaderOf(consensus.status()))) {
        const pauseMs = leads || leader ? Math.min(left, retryMs) : left;
        if (pauseMs > 0) await this.#pause(pauseMs, signal);
      }
      left -= clock.monotonic() - since;
      retryMs = backoff.next();
    }
  }

  /** Ends what waits and closes the connections. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    if (this.#current) this.#retired.add(this.#current);
    this.#current = undefined;
    for (const connections of this.#retired) connections.retire(0);
    this.#retired.clear();
    this.#wake();
  }

  #checkWanted(signal: AbortSignal | undefined): void {
    if (signal?.aborted) throw canceled(signal);
    if (this.#closed) {
      throw new CoveyError("unavailable", "Cannot reach the leader: this manager is stopping");
    }
  }

  /** A place on a connection to `leader`, or why there is none. */
  async #lease(
    leader: LeaderAddress,
    withinMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Lease | CoveyError> {
    try {
      return await this.#connections(leader).lease({ withinMs, signal });
    } catch (thrown) {
      return CoveyError.from(thrown);
    }
  }

  /** Does it here. Resolves with an error that says that nothing was done: leadership is on its way to another. */
  async #here<R>({ local, signal }: LeaderWork<R>): Promise<{ result: R } | CoveyError> {
    try {
      return { result: await local() };
    } catch (thrown) {
      const problem = CoveyError.from(thrown);
      if (signal?.aborted || fateOf(problem) !== "not_leader") throw thrown;
      return problem;
    }
  }

  /** One call. Rejects with what the caller shall see; resolves with an error that is worth another try. */
  async #try<R>(
    lease: Lease,
    { remote, idempotent, signal }: LeaderWork<R>,
  ): Promise<{ result: R } | CoveyError> {
    try {
      return { result: await remote(lease) };
    } catch (thrown) {
      const problem = CoveyError.from(thrown);
      const fate = fateOf(problem);
      if (problem.reason === "no_manager") throw notAManager(problem);
      if (signal?.aborted || fate === "answered") throw problem;
      if (fate !== "not_leader") lease.discard();
      if (fate === "unknown" && !idempotent) throw outcomeUnknown(problem);
      return problem;
    } finally {
      lease.release();
    }
  }

  #connections(leader: LeaderAddress): LeaderConnections {
    if (!this.#current || !sameLeader(this.#current.leader, leader)) {
      this.#retire();
      this.#current = new LeaderConnections(leader, this.#options.dialer, this.#options.clock);
    }
    return this.#current;
  }

  /** The leader, if it is another manager whose address is known. */
  #leaderOf({ leaderNodeID, members }: ConsensusStatus): LeaderAddress | undefined {
    if (leaderNodeID === undefined || leaderNodeID === this.#options.nodeID) return undefined;
    const member = members.find(({ nodeID }) => nodeID === leaderNodeID);
    return member && { nodeID: member.nodeID, address: member.address };
  }

  /** While there is no leader, connections stay: the same one may be elected again. */
  #follow(status: ConsensusStatus): void {
    const leader = this.#leaderOf(status);
    const changed = this.#current && leader && !sameLeader(this.#current.leader, leader);
    if (status.isLeader || changed) this.#retire();
    this.#wake();
  }

  #retire(): void {
    const old = this.#current;
    this.#current = undefined;
    for (const connections of this.#retired) if (connections.idle) this.#retired.delete(connections);
    if (!old) return;
    this.#retired.add(old);
    old.retire(LINGER_MS);
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves after `ms`, or as soon as the status changes. */
  async #pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= MAX_WAITING_CALLS) {
      throw new CoveyError(
        "unavailable",
        `Cannot wait for the leader: ${this.#waiting.size} calls are waiting already`,
      );
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    try {
      await within(promise, { clock: this.#options.clock, withinMs: ms, signal }).catch(() => {});
    } finally {
      this.#waiting.delete(resolve);
    }
  }
}

function sameLeader(a: LeaderAddress | undefined, b: LeaderAddress | undefined): boolean {
  return a?.nodeID === b?.nodeID && a?.address === b?.address;
}

function unreachable({ nodeID, address }: LeaderAddress, problem: CoveyError | undefined): CoveyError {
  const why = problem?.message ?? "it did not answer";
  return new CoveyError("unavailable", `Cannot reach the leader ${nodeID} at ${address}: ${why}`, {
    cause: problem,
  });
}
