/** Has the executors remove what is left of tasks that the node does not have: after removals that failed, or a lost record. */
import { getLogger } from "../api/log.ts";
import { type Clock, sleep } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { can, type Executor } from "../executors/executor.ts";

/** Between two looks: leftovers cost a device room and memory, a look costs it a question to its engine. */
const SWEEP_PERIOD_MS = 60 * 60 * 1000;

const log = getLogger(["covey", "agent"]);

/** What a sweep needs to know. */
export interface LeftoversOptions {
  clock: Clock;
  executors: readonly Executor[];
  /** Whether the node has the task, as one that it runs or one that it is removing. */
  has: (taskID: string) => boolean;
}

/** Sweeps once it is told that the node's tasks are known, and then from time to time. */
export class Leftovers {
  readonly #options: LeftoversOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: LeftoversOptions) {
    this.#options = options;
  }

  /**
   * From now on the tasks are known. Never to be called before: an agent that lost its state would take all that runs for
   * leftovers.
   */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Asks every executor once; what fails is logged, and found again the next time. */
  async sweep(): Promise<void> {
    const { executors, has } = this.#options, { signal } = this.#abort;
    for (const executor of executors) {
      if (!can(executor, "sweep") || signal.aborted) continue;
      const { runtime } = executor;
      try {
        for (const id of await executor.sweep(has, signal)) {
          log.warn("Removed what was left of task {id} ({runtime})", { id, runtime });
        }
      } catch (thrown) {
        if (signal.aborted) return;
        const { message } = CoveyError.from(thrown);
        log.warn("Cannot remove all that is left of earlier tasks ({runtime}): {message}", {
          runtime,
          message,
        });
      }
    }
  }

  /** Ends the sweep in progress. */
  async stop(): Promise<void> {
    this.#abort.abort(new CoveyError("canceled", "Cannot go on: the agent stops"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options, { signal } = this.#abort;
    while (!signal.aborted) {
      await this.sweep();
      await sleep(clock, SWEEP_PERIOD_MS, signal).catch(() => {});
    }
  }
}
