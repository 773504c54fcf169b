/** What one node may ask of the dispatcher, so that a node that floods is slowed down alone. */
import type { Clock } from "../../api/clock.ts";
import type { UpdateTaskStatusRequest } from "../../api/dispatcher.ts";
import { CoveyError } from "../../api/errors.ts";
import { type BucketOptions, TokenBucket } from "../../api/rate_limiter.ts";

/** What is counted. Each is beyond what an agent ever needs, and far below what keeps a manager busy. */
const LIMITS = {
  /** An agent sends one each period, 0.1 s or more apart; counted apart, so that no flood of others takes a node down. */
  heartbeats: { burst: 50, perSecond: 20 },
  /** A description that changed, which is written, or a set of tasks, which is read and sent whole: twice a reconnect, else once in 20 s. */
  openings: { burst: 20, perSecond: 1 },
  /** An agent has one under way, and under load each waits 100 ms for its commit. */
  reports: { burst: 100, perSecond: 20 },
  /** Of logs: each waits until the one before was taken, so a fast link and many readers come nearest to it. */
  pushes: { burst: 1000, perSecond: 200 },
  /** Streams to tasks: each was asked for, and no more are open at once than `MAX_STREAMS_PER_NODE`. */
  streams: { burst: 100, perSecond: 20 },
  /** Connections to nodes that are not reached otherwise: each is an ask of the other node, which its session tells of. */
  relays: { burst: 50, perSecond: 10 },
  /** What it has loaded: one is under way at a time, and messages that ask for it are batched. */
  loads: { burst: 100, perSecond: 20 },
  /** Tasks that are to be stopped: at once all that a device has, then more than it can stop. */
  drains: { burst: 1000, perSecond: 50 },
  /** Statuses: at once all that a reconnecting agent repeats, then more than a device can start and stop. */
  statuses: { burst: 10_000, perSecond: 500 },
  /** Characters of their words: at once a call of the largest size, then 50 of the longest errors a second. */
  characters: { burst: 4 * 1024 * 1024, perSecond: 200 * 1024 },
} satisfies Record<string, Omit<BucketOptions, "clock">>;

/** What is limited, as errors call it. */
export type Limited = keyof typeof LIMITS;

/** Counts what each node asks for, and refuses what is too much. */
export class NodeLimits {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Map<Limited, TokenBucket>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Counts `amount`. Throws `resource_exhausted`, retryable, if that is more than is left: what is refused here was not
   * taken, and the agent sends it again.
   */
  count(nodeID: string, limited: Limited, amount = 1): void {
    let buckets = this.#nodes.get(nodeID);
    if (buckets === undefined) this.#nodes.set(nodeID, buckets = new Map());
    let bucket = buckets.get(limited);
    if (bucket === undefined) {
      bucket = new TokenBucket({ clock: this.#clock, ...LIMITS[limited] });
      buckets.set(limited, bucket);
    }
    if (bucket.take(amount)) return;
    const { perSecond } = LIMITS[limited];
    throw new CoveyError(
      "resource_exhausted",
      `Cannot serve node ${nodeID}: it sends too many ${limited}, more than ${perSecond} a second; try again later`,
      { retryable: true },
    );
  }

  /** Counts a report of statuses. */
  countStatuses(nodeID: string, updates: UpdateTaskStatusRequest["Updates"]): void {
    const characters = updates.reduce(
      (sum, { Status: { Message, Err = "" } }) => sum + Message.length + Err.length,
      0,
    );
    this.count(nodeID, "statuses", updates.length);
    this.count(nodeID, "characters", characters);
  }

  /** Forgets a node. */
  forget(nodeID: string): void {
    this.#nodes.delete(nodeID);
  }
}
