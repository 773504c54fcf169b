/**
 * What a component still has to do, object by object. Nothing is dropped before it is known to be done: an object whose
 * write failed is tried again soon; one that cannot be handled is set aside by name, so that it does not hold up the
 * others, and looked at again when it changes and after a while.
 *
 *     add ──► due ──take──► taken ──finish──► forgotten
 *              ▲              │ failed
 *              └─ pause over ─┴─ or added again
 */
import { getLogger } from "@logtape/logtape";
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { SayOnce } from "../../api/say_once.ts";
import { isCommitFailure, type ItemOutcome, type Store, type WriteTransaction } from "../store/store.ts";

/** Before a write that failed is tried again: the group is short of a majority, or busy. */
const WRITE_PAUSE: BackoffLimits = { minMs: 250, maxMs: 4_000 };
/** Before an object that could not be handled is looked at again although it did not change. */
const ASIDE_PAUSE: BackoffLimits = { minMs: 1_000, maxMs: 60_000 };

const logger = getLogger(["covey", "leader"]);

/** Whose list it is. */
export interface WorkListOwner {
  /** Named in the log. */
  readonly name: string;
  readonly clock: Clock;
  /** Something is due again. */
  wake(): void;
}

/** Shows people, on the object itself, why it cannot be handled. Never throws. */
export type ShowReason = (id: string, reason: string) => void;

interface Failure {
  backoff: Backoff;
  limits: BackoffLimits;
  /** Monotonic milliseconds at which it is due again. */
  dueAt: number;
  said: SayOnce;
}

/** The objects of one kind, by ID, that a component has to look at. */
export class WorkList {
  readonly #due = new Set<string>();
  readonly #taken = new Set<string>();
  /** Of objects that failed and are not known to be done since. */
  readonly #failures = new Map<string, Failure>();
  readonly #resting = new Set<string>();
  #writeProblem = new SayOnce();
  #timer: { at: number; cancel: CancelTimer } | undefined;

  /** `kind` is what the log calls an object; `show` is told why one is set aside. */
  constructor(readonly kind: string, readonly owner: WorkListOwner, readonly show: ShowReason = () => {}) {}

  /** How many are due. */
  get size(): number {
    return this.#due.size;
  }

  /** Something about the object changed: it is due now, whatever became of it before. */
  add(id: string): void {
    this.#resting.delete(id);
    this.#due.add(id);
  }

  /** Forgets an object that is gone. */
  delete(id: string): void {
    for (const ids of [this.#due, this.#taken, this.#resting, this.#failures]) ids.delete(id);
  }

  /** Forgets everything. */
  clear(): void {
    for (const ids of [this.#due, this.#taken, this.#resting, this.#failures]) ids.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** All that is due, now under way until {@linkcode finish}. */
  take(): string[] {
    const ids = [...this.#due];
    for (const id of ids) this.#taken.add(id);
    this.#due.clear();
    return ids;
  }

  /** What was taken and has not failed is done. */
  finish(): void {
    if (this.#taken.size > 0) this.#writeProblem = new SayOnce();
    for (const id of this.#taken) this.#failures.delete(id);
    this.#taken.clear();
  }

  /** What was taken is due again: nobody knows how far it got. */
  restore(): void {
    for (const id of this.#taken) this.#due.add(id);
    this.#taken.clear();
  }

  /** The object's write failed, or it could not be handled. */
  failed(id: string, error: unknown): void {
    const again = isCommitFailure(error);
    const limits = again ? WRITE_PAUSE : ASIDE_PAUSE;
    let failure = this.#failures.get(id);
    if (failure?.limits !== limits) {
      failure = { backoff: new Backoff(limits), limits, dueAt: -Infinity, said: new SayOnce() };
      this.#failures.set(id, failure);
    }
    this.#taken.delete(id);
    const now = this.owner.clock.monotonic();
    // Showing a reason is a change too, after which it is looked at once more: that look tells nothing new.
    const mayTell = now >= failure.dueAt;
    failure.dueAt = now + failure.backoff.next();
    if (!this.#due.has(id)) {
      this.#resting.add(id);
      this.#arm(failure.dueAt);
    }
    if (mayTell) this.#tell(id, CoveyError.from(error), again, failure);
  }

  /** Does `work` for one object; what it throws fails that object only. */
  attempt(id: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.failed(id, error);
    }
  }

  /** Does `work` for each object that is due, one after another. */
  async each(work: (id: string) => Promise<void>): Promise<void> {
    for (const id of this.take()) {
      try {
        await work(id);
      } catch (error) {
        this.failed(id, error);
      }
    }
    this.finish();
  }

  /** Writes what `callback` writes for each object that is due; `onCommitted` hears of those that are committed. */
  async commit<R>(
    store: Store,
    callback: (tx: WriteTransaction, id: string) => R,
    onCommitted: (value: R, id: string) => void = () => {},
  ): Promise<void> {
    if (this.size === 0) return;
    await store.batch(this.take(), callback, (id, outcome: ItemOutcome<R>) => {
      if (outcome.committed) onCommitted(outcome.value, id);
      else this.failed(id, outcome.error);
    });
    this.finish();
  }

  #tell(id: string, error: CoveyError, again: boolean, { said }: Failure): void {
    const { name } = this.owner;
    if (again) {
      if (!this.#writeProblem.isNew(error.message)) return;
      logger.warn("{name} tries a write again: {message}", { name, message: error.message });
    } else if (said.isNew(error.message)) {
      const { kind } = this;
      logger.error("{name} sets {kind} {id} aside: {error}", { name, kind, id, error });
      this.show(id, `${name}: ${error.message}`);
    }
  }

  #arm(at: number): void {
    if (this.#timer && this.#timer.at <= at) return;
    this.#timer?.cancel();
    const cancel = this.owner.clock.setTimer(Math.max(0, at - this.owner.clock.monotonic()), () => {
      this.#timer = undefined;
      this.#wakeRested();
    });
    this.#timer = { at, cancel };
  }

  #wakeRested(): void {
    const now = this.owner.clock.monotonic();
    let next = Infinity;
    for (const id of this.#resting) {
      const { dueAt } = this.#failures.get(id)!;
      if (dueAt <= now) this.add(id);
      else next = Math.min(next, dueAt);
    }
    if (next < Infinity) this.#arm(next);
    if (this.size > 0) this.owner.wake();
  }
}
