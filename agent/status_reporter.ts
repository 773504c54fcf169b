/** Brings task statuses to the manager: the newest per task, never a lower state, many in one call, until accepted. */
import { type CancelTimer, type Clock } from "../api/clock.ts";
import { MAX_STATUS_BATCH } from "../api/dispatcher.ts";
import { CoveyError, hasCode } from "../api/errors.ts";
import { compareStates } from "../api/task_state.ts";
import type { TaskStatus } from "../api/task.ts";
import { callBackoff } from "./backoff.ts";

/** Delivers a batch; rejects if it was not accepted. */
export type SendStatuses = (updates: { TaskID: string; Status: TaskStatus }[]) => Promise<void>;

/** Holds what the manager has not accepted yet. */
export class StatusReporter {
  readonly #clock: Clock;
  readonly #pending = new Map<string, TaskStatus>();
  #send: SendStatuses | undefined;
  #sending = false;
  #scheduled = false;
  #batch = MAX_STATUS_BATCH;
  readonly #backoff = callBackoff();
  #cancelRetry: CancelTimer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Statuses not accepted yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Notes a status; one with a lower state than what is waiting already is dropped. */
  report(taskID: string, status: TaskStatus): void {
    const waiting = this.#pending.get(taskID);
    if (waiting && compareStates(status.State, waiting.State) < 0) return;
    this.#pending.set(taskID, status);
    this.#schedule();
  }

  /** A session is there: everything known is reported again through `send`. */
  connect(send: SendStatuses, statuses: Iterable<[string, TaskStatus]>): void {
    this.#send = send;
    this.#backoff.reset();
    this.#batch = MAX_STATUS_BATCH;
    for (const [taskID, status] of statuses) this.report(taskID, status);
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

  #take(): { TaskID: string; Status: TaskStatus }[] {
    const batch = [];
    for (const [TaskID, Status] of this.#pending) {
      if (batch.length === this.#batch) break;
      batch.push({ TaskID, Status });
    }
    return batch;
  }

  #accepted(batch: { TaskID: string; Status: TaskStatus }[]): void {
    this.#backoff.reset();
    for (const { TaskID, Status } of batch) {
      if (this.#pending.get(TaskID) === Status) this.#pending.delete(TaskID);
    }
  }

  /** One status that the manager will never take must not hold up the others: they are then sent one by one. */
  #failed(batch: { TaskID: string; Status: TaskStatus }[], error: CoveyError): void {
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
