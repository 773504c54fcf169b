/** What one node may ask of the dispatcher, so that a node that floods is slowed down alone. */
import type { Clock } from "../../api/clock.ts";
import type { UpdateTaskStatusRequest } from "../../api/dispatcher.ts";
import { CoveyError } from "../../api/errors.ts";

/** An amount that may be used at once, and what is regained of it in a second. */
interface Allowance {
  burst: number;
  perSecond: number;
}

/** What is counted. Each is beyond what an agent ever needs, and far below what keeps a manager busy. */
const LIMITS = {
  /** An agent sends one each period, 0.1 s or more apart; counted apart, so that no flood of others takes a node down. */
  heartbeats: { burst: 50, perSecond: 20 },
  /** A description that changed, which is written, or a set of tasks, which is read and sent whole: twice a reconnect, else once in 20 s. */
  openings: { burst: 20, perSecond: 1 },
  /** An agent has one under way, and under load each waits 100 ms for its commit. */
  reports: { burst: 100, perSecond: 20 },
  /** Statuses: at once all that a reconnecting agent repeats, then more than a device can start and stop. */
  statuses: { burst: 10_000, perSecond: 500 },
  /** Characters of their words: at once a call of the largest size, then 50 of the longest errors a second. */
  characters: { burst: 4 * 1024 * 1024, perSecond: 200 * 1024 },
} satisfies Record<string, Allowance>;

/** What is limited, as errors call it. */
export type Limited = keyof typeof LIMITS;

/** See the file's head. */
export class NodeLimits {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Map<Limited, Remainder>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Counts `amount`. Throws `resource_exhausted`, retryable, if that is more than is left: what is refused here was not
   * taken, and the agent sends it again.
   */
  count(nodeID: string, limited: Limited, amount = 1): void {
    let remainders = this.#nodes.get(nodeID);
    if (remainders === undefined) this.#nodes.set(nodeID, remainders = new Map());
    let remainder = remainders.get(limited);
    if (remainder === undefined) {
      remainders.set(limited, remainder = new Remainder(this.#clock, LIMITS[limited]));
    }
    if (remainder.take(amount)) return;
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

class Remainder {
  readonly #clock: Clock;
  readonly #allowance: Allowance;
  #left: number;
  #at: number;

  constructor(clock: Clock, allowance: Allowance) {
    this.#clock = clock;
    this.#allowance = allowance;
    this.#left = allowance.burst;
    this.#at = clock.monotonic();
  }

  /** Takes `amount`; false if there is less. */
  take(amount: number): boolean {
    const { burst, perSecond } = this.#allowance, now = this.#clock.monotonic();
    this.#left = Math.min(burst, this.#left + (now - this.#at) * perSecond / 1000);
    this.#at = now;
    if (this.#left < amount) return false;
    this.#left -= amount;
    return true;
  }
}
