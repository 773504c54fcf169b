/** What all parts of one run share: virtual time, the seed's numbers, what happened, and the first failure. */
import { setImmediate } from "node:timers";
import { EventQueue } from "../raft/event_queue.ts";
import { SeededRandom } from "../raft/random.ts";
import { EventLog } from "./event_log.ts";

/** The date on which every run begins. */
export const START_MS = Date.UTC(2026, 0, 1);

/** One run's world. Everything in it happens in one thread, in an order that follows from the seed. */
export class World {
  readonly queue = new EventQueue();
  readonly random: SeededRandom;
  readonly log = new EventLog(() => this.queue.now);
  /** Disturbances are over. */
  calm = false;
  /** Events so far. */
  steps = 0;
  #failure: { error: unknown } | undefined;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  get now(): number {
    return this.queue.now;
  }

  /** Numbers for one part, which do not change with how many another part draws. */
  fork(): SeededRandom {
    return new SeededRandom(this.random.between(1, 2 ** 31 - 1));
  }

  /** Ends the run with an error: a violation, or what no program may throw. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** Does `work` and fails the run if it rejects. */
  spawn(work: Promise<unknown>): void {
    work.catch((error) => this.fail(error));
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.queue.after(delayMs, resolve));
  }

  /** Lets time pass until `end` or until `done`, which it returns. Between two events, every promise that can go on does. */
  async run(end: number, done: () => boolean = () => false): Promise<boolean> {
    await turn();
    while (!done()) {
      const run = this.queue.next(end);
      if (run === undefined) return done();
      this.steps++;
      run();
      await turn();
      if (this.#failure) throw this.#failure.error;
    }
    return true;
  }
}

/** One turn of the event loop: a microsecond, where a timer of 0 ms takes at least 1 ms. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
