/**
 * Brings task statuses to the manager in the order in which they came to be, many in one call, until accepted: after an
 * outage what happened meanwhile, too.
 */
import { type CancelTimer, type Clock } from "../api/clock.ts";
import { MAX_STATUS_BATCH } from "../api/dispatcher.ts";
import { CoveyError, hasCode } from "../api/errors.ts";
import type { TaskStatus } from "../api/task.ts";
import { callBackoff } from "./backoff.ts";
import { withStatus } from "./unsent.ts";

/** Delivers a batch; rejects if it was not accepted. */
export type SendStatuses = (updates: { TaskID: string; Status: TaskStatus }[]) => Promise<void>;

type Batch = { TaskID: string; Status: TaskStatus }[];

/** Holds what the manager has not accepted yet. */
export class StatusReporter {
  readonly #clock: Clock;
  readonly #onAccepted: (taskID: string) => void;
  readonly #pending = new Map<string, TaskStatus[]>();
  /** Says which of two statuses came first. */
  readonly #places = new WeakMap<TaskStatus, number>();
  #place = 0;
  #send: SendStatuses | undefined;
  #sending = false;
  #scheduled = false;
  #batch = MAX_STATUS_BATCH;
  readonly #backoff = callBackoff();
  #cancelRetry: CancelTimer | undefined;

  /** `onAccepted` is called with each task of which nothing is left to be sent. */
  constructor(clock: Clock, onAccepted: (taskID: string) => void = () => {}) {
    this.#clock = clock;
    this.#onAccepted = onAccepted;
  }

  /** Tasks with statuses not accepted yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Notes a status; one with a lower state than what is waiting already is dropped. */
  report(taskID: string, status: TaskStatus): void {
    this.#places.set(status, this.#place++);
    this.#pending.set(taskID, withStatus(this.#pending.get(taskID) ?? [], status));
    this.#schedule();
  }

  /** A session is there: everything known is reported again through `send`, after what waits. */
  connect(send: SendStatuses, statuses: Iterable<[string, TaskStatus]>): void {
    this.#send = send;
    this.#backoff.reset();
    this.#batch = MAX_STATUS_BATCH;
    for (const [taskID, status] of statuses) if (!this.#pending.has(taskID)) this.report(taskID, status);
    this.#schedule();
  }

  /** The session is gone; statuses wait for the next one. */
  disconnect(): void {
    this.#send = undefined;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }

  /** Waits for the end of the turn, so that a task's quick steps become one report. */
  #schedule(): void {
    if (this.#scheduled || this.#sending || !this.#send || this.#cancelRetry || this.#pending.size === 0) {
      return;
    }
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const send = this.#send;
    if (!send || this.#sending) return;
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#sending = true;
    try {
      await send(batch);
      this.#accepted(batch);
    } catch (thrown) {
      if (this.#send === send) this.#failed(batch, CoveyError.from(thrown));
    } finally {
      this.#sending = false;
      this.#schedule();
    }
  }

  /**
   * The next ones in order, of each task at most one: a manager compares what is reported with what it has of the task
   * before the call.
   */
  #take(): Batch {
    const batch: Batch = [], place = (status: TaskStatus) => this.#places.get(status)!;
    let end = Infinity;
    for (const [TaskID, [Status, second]] of this.#pending) {
      batch.push({ TaskID, Status: Status! });
      if (second) end = Math.min(end, place(second));
    }
    return batch.filter(({ Status }) => place(Status) < end)
      .sort((a, b) => place(a.Status) - place(b.Status)).slice(0, this.#batch);
  }

  #accepted(batch: Batch): void {
    this.#backoff.reset();
    for (const { TaskID, Status } of batch) {
      const left = (this.#pending.get(TaskID) ?? []).filter((each) => each !== Status);
      if (left.length > 0) this.#pending.set(TaskID, left);
      else if (this.#pending.delete(TaskID)) this.#onAccepted(TaskID);
    }
  }

  /** One status that the manager will never take must not hold up the others: they are then sent one by one. */
  #failed(batch: Batch, error: CoveyError): void {
    if (hasCode(error, "permission_denied", "invalid_argument")) {
      if (batch.length === 1) this.#accepted(batch);
      this.#batch = 1;
      return;
    }
    this.#cancelRetry = this.#clock.setTimer(this.#backoff.next(), () => {
      this.#cancelRetry = undefined;
      this.#schedule();
    });
  }
}
