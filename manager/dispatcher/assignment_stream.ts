/** The assignments stream of one node: the complete set first, then batches of changes. */
import type { TokenBucket } from "../../api/rate_limiter.ts";
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { type AssignmentsMessage, LOADED_RULES, MAX_CHANGES_PER_MESSAGE } from "../../api/dispatcher.ts";
import type { CoveyError } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import { AssignmentSet, type AssignmentSource } from "./assignment_set.ts";
import { BATCH_DELAY_MS, burstBudget } from "./burst_budget.ts";
import { Wakeup } from "./wakeup.ts";

/** Changes that are sent without waiting for more (SwarmKit `modificationBatchLimit`). */
const BATCH_CHANGES = 100;

/** Merges changes until they are worth a message. Nothing queues up behind a slow agent: changes merge by task. */
export class AssignmentStream {
  readonly #clock: Clock;
  readonly #set: AssignmentSet;
  readonly #budget: TokenBucket;
  readonly #wakeup = new Wakeup();
  #index: number;
  #due = false;
  /** The last index that the agent is asked to say of that it has loaded it, whether it was sent yet, and what it has said. */
  #asked = -1;
  #isAsking = false;
  #loaded = -1;
  #cancelTimer: CancelTimer | undefined;
  #ended: { error?: CoveyError } | undefined;

  /** `tasks` is the complete set as of consensus index `index`. */
  constructor(clock: Clock, tasks: Task[], index: number, source: AssignmentSource) {
    this.#clock = clock;
    this.#set = new AssignmentSet(tasks, source);
    this.#budget = burstBudget(clock);
    this.#index = index;
  }

  /** Notes a changed task of this node; {@linkcode committed} follows. */
  update(task: Task): void {
    this.#set.update(task);
  }

  /** Notes a task that left this node; {@linkcode committed} follows. */
  remove(id: string): void {
    this.#set.remove(id);
  }

  /** See {@linkcode AssignmentSet.hasNetworks}. */
  get hasNetworks(): boolean {
    return this.#set.hasNetworks;
  }

  /** See {@linkcode AssignmentSet.attach}; {@linkcode committed} follows. */
  attach(networks: readonly string[]): void {
    this.#set.attach(networks);
  }

  /** See {@linkcode AssignmentSet.networkChanged}; {@linkcode committed} follows. */
  networkChanged(...change: Parameters<AssignmentSet["networkChanged"]>): boolean {
    return this.#set.networkChanged(...change);
  }

  /** Has the agent say when it has loaded what it is told with consensus index `index`, if it can. */
  askLoaded(index: number): void {
    if (!this.#set.knows(LOADED_RULES)) return;
    this.#asked = index;
    this.#isAsking = true;
  }

  /** The agent has loaded all up to `index`. */
  loaded(index: number): void {
    this.#loaded = Math.max(this.#loaded, Math.min(index, this.#index));
  }

  /** False if the agent was asked to say that it has loaded something as of `index` or before, and has not yet. */
  hasLoaded(index: number): boolean {
    return this.#loaded >= Math.min(index, this.#asked);
  }

  /** Notes that what a secret is told with has changed; {@linkcode committed} follows. */
  refreshSecret(id: string): void {
    this.#set.refresh({ Kind: "secret", ID: id });
  }

  /** All changes up to consensus index `index` are noted: sends them now, or soon if there is much to send. */
  committed(index: number): void {
    this.#index = index;
    if (this.#set.pending === 0 || this.#due) return;
    if (this.#set.pending >= BATCH_CHANGES || (this.#cancelTimer === undefined && this.#budget.take())) {
      this.#send();
    } else {
      this.#cancelTimer ??= this.#clock.setTimer(BATCH_DELAY_MS, () => this.#send());
    }
  }

  /** Ends the stream, with `error` if it is given. */
  end(error?: CoveyError): void {
    this.#ended ??= error ? { error } : {};
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#wakeup.wake();
  }

  /** The messages, until {@linkcode end}. */
  async *messages(): AsyncGenerator<AssignmentsMessage, void> {
    let sequence = 0;
    let complete = true;
    while (!this.#ended) {
      if (complete || this.#due) {
        this.#settle();
        do {
          const changes = this.#set.take(MAX_CHANGES_PER_MESSAGE);
          const more: boolean = complete && this.#set.pending > 0;
          const isAsking = this.#isAsking && this.#set.pending === 0;
          if (isAsking) this.#isAsking = false;
          yield {
            Type: complete ? "complete" : "incremental",
            AppliesTo: sequence === 0 ? "" : String(sequence),
            ResultsIn: String(++sequence),
            Index: this.#index,
            ...(more ? { More: true } : {}),
            ...(isAsking && { Acknowledge: true as const }),
            Changes: changes,
          };
          // As it was said: what came while the agent took that changes a set that is whole, or is the rest of one that is not.
          complete = more;
        } while ((complete || this.#set.pending > 0) && !this.#ended);
        this.#settle();
      } else {
        await this.#wakeup.wait();
      }
    }
    if (this.#ended.error) throw this.#ended.error;
  }

  #send(): void {
    this.#settle();
    this.#due = true;
    this.#wakeup.wake();
  }

  #settle(): void {
    this.#due = false;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
