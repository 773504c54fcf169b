/** The logs of tasks for clients (SwarmKit `manager/logbroker`); works on the leader, where all nodes have their sessions. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import type { AskTable } from "../dispatcher/mod.ts";
import type { Store } from "../store/store.ts";
import { type LogOptions, type LogSelection, LogSubscription } from "./log_subscription.ts";

/** Clients that read logs at once; each may hold up to the last entries that are wanted, see `MAX_TAIL_BYTES`. */
const MAX_SUBSCRIPTIONS = 32;
/** Bytes of logs that wait for clients, all together; beyond it nodes are asked to send later. */
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;

/** What a broker works with. */
export interface LogBrokerOptions {
  store: Store;
  asks: AskTable;
  clock: Clock;
  random: Random;
}

/** All subscriptions of one manager. */
export class LogBroker {
  readonly #options: LogBrokerOptions;
  readonly #subscriptions = new Set<LogSubscription>();

  constructor(options: LogBrokerOptions) {
    this.#options = options;
  }

  /** Opens a subscription, which whoever reads it has to close. Throws `resource_exhausted` where there are too many. */
  subscribe(selection: LogSelection, options: LogOptions): LogSubscription {
    if (this.#subscriptions.size >= MAX_SUBSCRIPTIONS) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot read logs: ${this.#subscriptions.size} clients read some already, the limit`,
        { retryable: true },
      );
    }
    const { random, ...context } = this.#options;
    const subscription: LogSubscription = new LogSubscription(
      {
        ...context,
        id: newID(random),
        checkBudget: (bytes) => this.#checkBudget(bytes),
        onClose: () => void this.#subscriptions.delete(subscription),
      },
      selection,
      options,
    );
    this.#subscriptions.add(subscription);
    try {
      subscription.open();
    } catch (thrown) {
      subscription.close();
      throw thrown;
    }
    return subscription;
  }

  #checkBudget(bytes: number): void {
    let held = bytes;
    for (const subscription of this.#subscriptions) held += subscription.bytes;
    if (held <= MAX_BUFFERED_BYTES) return;
    throw new CoveyError("resource_exhausted", "Cannot take logs now: too many wait to be read", {
      retryable: true,
    });
  }
}
