/**
 * The rhythm of every leader component: look at commits as they come, work off what is dirty one step after
 * another.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Clock } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import type { Commit, Store } from "../store/store.ts";

/** What a leader component works with. */
export interface ComponentOptions {
  store: Store;
  clock: Clock;
  random: Random;
}

/** The parts of a component that its loop calls. */
export interface LoopHandlers {
  /** Marks everything dirty: at the start, and after a failed write. Reads the store's present state. */
  resync(): void;
  /**
   * Remembers what `commit` made dirty; true if there is work. Synchronous, and bounded by the size of the
   * commit.
   */
  onCommit(commit: Commit): boolean;
  /** Works off what is dirty. Never runs twice at a time. */
  run(): Promise<void>;
}

/**
 * Milliseconds before a component tries again after a failed write (SwarmKit retries at the next event only).
 */
const RETRY_DELAY_MS = 1000;

const logger = getLogger(["covey", "orchestrator"]);

/** Runs a component's handlers: coalesced, serial, and again after a failure. */
export class CommitLoop {
  #unsubscribe: (() => void) | undefined;
  #cancelRetry: CancelTimer | undefined;
  #wanted = false;
  #running: Promise<void> | undefined;

  constructor(
    readonly name: string,
    readonly options: Pick<ComponentOptions, "store" | "clock">,
    readonly handlers: LoopHandlers,
  ) {}

  get started(): boolean {
    return this.#unsubscribe !== undefined;
  }

  /** Subscribes, marks everything dirty and begins to work. */
  start(): void {
    if (this.started) return;
    this.#unsubscribe = this.options.store.subscribe((commit) => {
      if (this.handlers.onCommit(commit)) this.wake();
    });
    this.handlers.resync();
    this.wake();
  }

  /** Resolves when the step in progress has ended. */
  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#cancelRetry?.();
    this.#wanted = false;
    await this.#running;
  }

  /** Asks for a step; many calls before it begins make one step. */
  wake(): void {
    if (!this.started) return;
    this.#wanted = true;
    this.#running ??= this.#drive();
  }

  async #drive(): Promise<void> {
    await Promise.resolve();
    while (this.#wanted && this.started) {
      this.#wanted = false;
      try {
        await this.handlers.run();
      } catch (error) {
        if (!this.started) break;
        logger.warn("{component} tries again after a failed step: {error}", { component: this.name, error });
        this.#retryLater();
      }
    }
    this.#running = undefined;
  }

  #retryLater(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.options.clock.setTimer(RETRY_DELAY_MS, () => {
      this.handlers.resync();
      this.wake();
    });
  }
}

/** A component that is nothing but its loop: it can be started again after a stop. */
export abstract class LoopComponent {
  readonly #loop: CommitLoop;

  constructor(name: string, protected readonly options: ComponentOptions) {
    this.#loop = new CommitLoop(name, options, {
      resync: () => this.resync(),
      onCommit: (commit) => this.onCommit(commit),
      run: () => this.run(),
    });
  }

  start(): void {
    this.#loop.start();
  }

  /** Resolves when the step in progress has ended. */
  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** These three as {@linkcode LoopHandlers} says. */
  protected abstract resync(): void;
  protected abstract onCommit(commit: Commit): boolean;
  protected abstract run(): Promise<void>;
}
