/** Writes the statuses that agents report into the store, many at a time. */
import type { TokenBucket } from "../../api/rate_limiter.ts";
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { TaskStatus } from "../../api/task.ts";
import { compareStates } from "../../api/task_state.ts";
import type { Store, WriteTransaction } from "../store/store.ts";
import { withReport } from "../task/task.ts";
import { isDeepStrictEqual } from "node:util";
import { BATCH_DELAY_MS, burstBudget } from "./burst_budget.ts";

/** Updates that are written without waiting for more (SwarmKit `maxBatchItems`). */
const BATCH_UPDATES = 10_000;
/** Updates waiting at most: about 100 bytes each; more means that the store cannot keep up. */
const MAX_WAITING_UPDATES = 100_000;

/** One reported status. */
export interface ReportedStatus {
  TaskID: string;
  NodeID: string;
  Status: TaskStatus;
}

interface Waiting {
  updates: ReportedStatus[];
  resolve: () => void;
  reject: (error: Error) => void;
}

/** Batches status writes: at once when there was quiet, else every 100 ms or 10,000 updates. */
export class StatusWriter {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #budget: TokenBucket;
  #waiting: Waiting[] = [];
  #count = 0;
  #writing = false;
  #cancelTimer: CancelTimer | undefined;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#budget = burstBudget(clock);
  }

  /** Resolves once the updates are durable. Rejects with what kept one of them from that, or `resource_exhausted`. */
  write(updates: ReportedStatus[]): Promise<void> {
    if (updates.length === 0) return Promise.resolve();
    if (this.#count + updates.length > MAX_WAITING_UPDATES) {
      const message = `Cannot take status updates: ${this.#count} are waiting`;
      return Promise.reject(new CoveyError("resource_exhausted", message, { retryable: true }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ updates, resolve, reject });
      this.#count += updates.length;
      this.#schedule();
    });
  }

  /** Rejects what waits with `reason`. */
  stop(reason: CoveyError): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(reason);
    this.#count = 0;
  }

  #schedule(): void {
    if (this.#writing || this.#waiting.length === 0) return;
    if (this.#count >= BATCH_UPDATES || (this.#cancelTimer === undefined && this.#budget.take())) {
      this.#flush();
    } else {
      this.#cancelTimer ??= this.#clock.setTimer(BATCH_DELAY_MS, () => this.#flush());
    }
  }

  async #flush(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const batch = this.#waiting.splice(0);
    this.#count = 0;
    this.#writing = true;
    const now = this.#clock.now();
    try {
      const updates = batch.flatMap((waiting) => waiting.updates).filter((u) => this.#isNews(u));
      const failures = new Map<ReportedStatus, Error>();
      await this.#store.batch(updates, (tx, u) => applyStatus(tx, u, now), (update, outcome) => {
        if (!outcome.committed) failures.set(update, outcome.error);
      });
      for (const { updates, resolve, reject } of batch) {
        const failed = updates.find((update) => failures.has(update));
        if (failed) reject(failures.get(failed)!);
        else resolve();
      }
    } catch (thrown) {
      for (const waiting of batch) waiting.reject(CoveyError.from(thrown));
    } finally {
      this.#writing = false;
      this.#schedule();
    }
  }

  /** Cheap look before the transaction: a node that registers again repeats everything it knows. */
  #isNews(update: ReportedStatus): boolean {
    const task = this.#store.get("tasks", update.TaskID);
    return task !== undefined && isNewer(task.Status, update.Status);
  }
}

/** A state never goes back, and what says nothing new is not written. Fields are compared as the manager stores them. */
function isNewer(current: TaskStatus, next: TaskStatus): boolean {
  const order = compareStates(next.State, current.State);
  if (order !== 0) return order > 0;
  return next.Message !== current.Message || next.Err !== current.Err ||
    !isDeepStrictEqual(next.ContainerStatus, current.ContainerStatus) ||
    !isDeepStrictEqual(next.PortStatus, current.PortStatus) || !isDeepStrictEqual(next.Swap, current.Swap) ||
    !isDeepStrictEqual(next.Restarts, current.Restarts);
}

function applyStatus(tx: WriteTransaction, update: ReportedStatus, now: number): void {
  const task = tx.get("tasks", update.TaskID);
  if (!task || task.NodeID !== update.NodeID || !isNewer(task.Status, update.Status)) return;
  const status = { ...update.Status, Timestamp: notAfter(update, now) };
  tx.update("tasks", withReport(task, status, new Date(now).toISOString()));
}

/**
 * A device's clock may run ahead; nothing has happened later than now. Written anew, because `Date.parse` takes much that no
 * client reads, years before the first one too.
 */
function notAfter(update: ReportedStatus, now: number): string {
  const at = Date.parse(update.Status.Timestamp);
  return new Date(at >= 0 && at <= now ? at : now).toISOString();
}
