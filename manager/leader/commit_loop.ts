/**
 * The rhythm of every leader component: look at commits as they come, work off what is dirty one step after
 * another.
 */
import { getLogger } from "@logtape/logtape";
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import type { CancelTimer, Clock } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import { SayOnce } from "../../api/say_once.ts";
import type { Commit, Store } from "../store/store.ts";
import { type ShowReason, WorkList } from "./work_list.ts";

/** What a leader component works with. */
export interface ComponentOptions {
  store: Store;
  clock: Clock;
  random: Random;
  /** When a node was last heard of in this term, milliseconds of `clock`'s monotonic time. Left out where nobody listens. */
  heard?: (nodeID: string) => number | undefined;
}

/** The parts of a component that its loop calls. */
export interface LoopHandlers {
  /** Marks everything dirty: at the start, and after a failed step. Reads the store's present state. */
  resync(): void;
  /**
   * Remembers what `commit` made dirty; true if there is work. Synchronous, and bounded by the size of the
   * commit.
   */
  onCommit(commit: Commit): boolean;
  /** Works off what is dirty. Never runs twice at a time. */
  run(): Promise<void>;
}

/** Before a component that failed as a whole begins anew from the store (SwarmKit waits for the next event only). */
const RETRY_PAUSE: BackoffLimits = { minMs: 1_000, maxMs: 30_000 };

const logger = getLogger(["covey", "leader"]);

/** Runs a component's handlers: coalesced, serial, and again after a failure. Nothing that they throw gets out. */
export class CommitLoop {
  readonly clock: Clock;
  readonly #store: Store;
  readonly #lists: WorkList[] = [];
  readonly #backoff = new Backoff(RETRY_PAUSE);
  readonly #problem = new SayOnce();
  #unsubscribe: (() => void) | undefined;
  #cancelRetry: CancelTimer | undefined;
  #cancelLater: CancelTimer | undefined;
  #wanted = false;
  #running: Promise<void> | undefined;

  constructor(
    readonly name: string,
    options: Pick<ComponentOptions, "store" | "clock">,
    readonly handlers: LoopHandlers,
  ) {
    this.clock = options.clock;
    this.#store = options.store;
  }

  get started(): boolean {
    return this.#unsubscribe !== undefined;
  }

  /** A list of objects to look at, emptied at each stop. Whatever the loop does not finish is due again after a failure. */
  list(kind: string, show?: ShowReason): WorkList {
    const list = new WorkList(kind, this, show);
    this.#lists.push(list);
    return list;
  }

  /** Subscribes, marks everything dirty and begins to work. */
  start(): void {
    if (this.started) return;
    this.#unsubscribe = this.#store.subscribe((commit) => this.#follow(commit), this.name);
    this.#begin();
  }

  /** Resolves when the step in progress has ended. */
  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#cancelLater?.();
    this.#cancelLater = undefined;
    this.#backoff.reset();
    this.#wanted = false;
    await this.#running;
    if (!this.started) { for (const list of this.#lists) list.clear(); }
  }

  /** Asks for a step; many calls before it begins make one step. */
  wake(): void {
    if (!this.started) return;
    this.#wanted = true;
    this.#running ??= this.#drive();
  }

  /** Asks for a step in `ms` milliseconds, before which `due` is called. One that is already awaited stays as it is. */
  wakeLater(ms: number, due: () => void): void {
    if (!this.started) return;
    this.#cancelLater ??= this.clock.setTimer(ms, () => {
      this.#cancelLater = undefined;
      due();
      this.wake();
    });
  }

  /** True while a step asked for by {@linkcode CommitLoop.wakeLater} is awaited. */
  get awaitsLater(): boolean {
    return this.#cancelLater !== undefined;
  }

  #begin(): void {
    try {
      this.handlers.resync();
    } catch (error) {
      return this.#fail(error);
    }
    this.wake();
  }

  #follow(commit: Commit): void {
    try {
      if (this.handlers.onCommit(commit)) this.wake();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #drive(): Promise<void> {
    await Promise.resolve();
    while (this.#wanted && this.started) {
      this.#wanted = false;
      try {
        await this.handlers.run();
        if (this.#cancelRetry === undefined) this.#backoff.reset();
      } catch (error) {
        if (this.started) this.#fail(error);
      }
    }
    this.#running = undefined;
  }

  /** It cannot go on from what it has noted, so it begins anew from the store, a little later. */
  #fail(error: unknown): void {
    if (this.#problem.isNew(String(error))) {
      logger.error("{component} failed and begins anew: {error}", { component: this.name, error });
    }
    if (this.#cancelRetry) return;
    this.#cancelRetry = this.clock.setTimer(this.#backoff.next(), () => {
      this.#cancelRetry = undefined;
      for (const list of this.#lists) list.restore();
      this.#begin();
    });
  }
}

/** A component that is nothing but its loop: it can be started again after a stop. */
export abstract class LoopComponent {
  readonly #loop: CommitLoop;

  constructor(readonly name: string, protected readonly options: ComponentOptions) {
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

  /** See {@linkcode CommitLoop.list}. */
  protected list(kind: string, show?: ShowReason): WorkList {
    return this.#loop.list(kind, show);
  }

  /** See {@linkcode CommitLoop.wake}. */
  protected wake(): void {
    this.#loop.wake();
  }

  /** See {@linkcode CommitLoop.wakeLater}. */
  protected wakeLater(ms: number, due: () => void): void {
    this.#loop.wakeLater(ms, due);
  }

  /** See {@linkcode CommitLoop.awaitsLater}. */
  protected get awaitsLater(): boolean {
    return this.#loop.awaitsLater;
  }

  /** These three as {@linkcode LoopHandlers} says. */
  protected abstract resync(): void;
  protected abstract onCommit(commit: Commit): boolean;
  protected abstract run(): Promise<void>;
}
