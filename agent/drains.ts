/**
 * Sees to it that a task is stopped once nobody sends anything new to it: says what this node has loaded of who serves, and
 * asks whether all other nodes have.
 */
import { type Clock, sleep } from "../api/clock.ts";
import { MAX_LOAD_MS } from "../api/dispatcher.ts";
import { CoveyError, hasCode } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import { orAbort } from "../api/or_abort.ts";
import { compareStates } from "../api/task_state.ts";
import type { Task } from "../api/task.ts";

const logger = getLogger(["covey", "network"]);

/** How long a task waits for the word that it may be stopped: as long as a manager waits, and the way to another one. */
const MAX_DRAIN_MS = MAX_LOAD_MS + 5000;
/** Pause before something is said or asked again. */
const AGAIN_MS = 1000;

/** What of a session is needed. */
export interface DrainCalls {
  sendLoaded(index: number): Promise<void>;
  askDrained(taskID: string, signal: AbortSignal): Promise<void>;
}

/** What an agent tells of its sessions. */
export interface DrainsAsked {
  connect(calls: DrainCalls): void;
  disconnect(): void;
  /** A manager waits until all that came up to `index` is loaded. */
  acknowledge(index: number): void;
}

/** What it works with. */
export interface DrainsOptions {
  clock: Clock;
  /** Resolves when what the node was told by now of who serves is loaded. */
  loaded: (signal: AbortSignal) => Promise<void>;
  /** A task of this node. */
  task: (id: string) => Pick<Task, "DesiredState"> | undefined;
}

/** The node's part in the draining of tasks. */
export class Drains implements DrainsAsked {
  readonly #options: DrainsOptions;
  #session: { calls: DrainCalls; abort: AbortController } | undefined;
  #connected = Promise.withResolvers<void>();
  #asked = -1;
  #isSaying = false;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  connect(calls: DrainCalls): void {
    this.disconnect();
    this.#session = { calls, abort: new AbortController() };
    this.#connected.resolve();
    this.#connected = Promise.withResolvers();
  }

  disconnect(): void {
    this.#session?.abort.abort(new CoveyError("unavailable", "Cannot go on: the session ended"));
    this.#session = undefined;
    this.#asked = -1;
    this.#isSaying = false;
  }

  acknowledge(index: number): void {
    this.#asked = index;
    if (this.#session === undefined || this.#isSaying) return;
    this.#isSaying = true;
    const { calls, abort } = this.#session;
    // Ends with the session, and the next one begins anew.
    this.#say(calls, abort.signal).catch(() => {});
  }

  /**
   * Resolves when nobody sends anything new to a task of this node, as far as a manager knows, or after 15 s. At once for a
   * task that this node stops by itself while no manager is in reach: nobody could be told.
   */
  async drained(taskID: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options, late = new AbortController();
    const cancel = clock.setTimer(
      MAX_DRAIN_MS,
      () => late.abort(new CoveyError("deadline_exceeded", "late")),
    );
    try {
      await this.#ask(taskID, AbortSignal.any([signal, late.signal]));
    } catch (thrown) {
      signal.throwIfAborted();
      const { message } = CoveyError.from(thrown);
      logger.debug("Stopping task {id} without a manager's word: {message}", { id: taskID, message });
    } finally {
      cancel();
    }
  }

  async #ask(taskID: string, signal: AbortSignal): Promise<void> {
    while (true) {
      const session = this.#session;
      if (session === undefined) {
        if (!this.#isTold(taskID)) return;
        await orAbort(this.#connected.promise, signal);
        continue;
      }
      try {
        return await session.calls.askDrained(taskID, signal);
      } catch (thrown) {
        signal.throwIfAborted();
        // A manager of an earlier version does not know of it.
        if (hasCode(thrown, "unimplemented", "invalid_argument", "permission_denied")) throw thrown;
        await sleep(this.#options.clock, AGAIN_MS, signal);
      }
    }
  }

  /** True for a task that a manager has told this node to stop: it tells the others, too. */
  #isTold(taskID: string): boolean {
    const task = this.#options.task(taskID);
    return task !== undefined && compareStates(task.DesiredState, "running") > 0;
  }

  async #say(calls: DrainCalls, signal: AbortSignal): Promise<void> {
    let said = -1;
    while (said < this.#asked) {
      const index = this.#asked;
      await this.#options.loaded(signal);
      signal.throwIfAborted();
      try {
        await calls.sendLoaded(index);
        said = index;
      } catch {
        await sleep(this.#options.clock, AGAIN_MS, signal);
      }
    }
    signal.throwIfAborted();
    this.#isSaying = false;
  }
}
