/**
 * Leadership as a term: the leader's parts are made for one term and end with it, so that nothing of an earlier one goes
 * on when leadership is lost and comes back. A part that cannot start is named, made and started again after a pause, and
 * holds up no other.
 *
 *     not leading --term t--> parts of t start, run --lost, or another term--> parts of t stop --> not leading, or the next
 *                                    |      ^
 *                             cannot start  made anew, after a pause
 *                                    '------'
 */
import { getLogger } from "@logtape/logtape";
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import { type CancelTimer, type Clock, sleep } from "../../api/clock.ts";
import { SayOnce } from "../../api/say_once.ts";

const logger = getLogger(["covey", "leader"]);

/** Before a part that could not start is made again. */
const RESTART_PAUSE: BackoffLimits = { minMs: 1_000, maxMs: 30_000 };

/** Longest wait for a part to end: what it writes is refused by then, and the next term must not wait for it. */
const MAX_STOP_MS = 10_000;

/** What runs on the leader only. Both calls resolve when done; it can be stopped whatever became of its start. */
export interface LeaderComponent {
  readonly name: string;
  start(): void | Promise<void>;
  stop(): void | Promise<void>;
}

/** Makes one part of the leader anew. */
export type MakeComponent = () => LeaderComponent;

/** One part in one term. */
class Part {
  readonly #make: MakeComponent;
  readonly #clock: Clock;
  readonly #backoff = new Backoff(RESTART_PAUSE);
  readonly #problem = new SayOnce();
  #component: LeaderComponent | undefined;
  #cancelRestart: CancelTimer = () => {};
  #stopped = false;

  constructor(make: MakeComponent, clock: Clock) {
    this.#make = make;
    this.#clock = clock;
  }

  /** Never rejects. */
  async start(): Promise<void> {
    try {
      const component = this.#component = this.#make();
      await component.start();
    } catch (error) {
      if (this.#stopped) return;
      const name = this.#component?.name ?? "a part";
      if (this.#problem.isNew(`${name}: ${error}`)) {
        logger.error("Cannot start {name}, which is tried again: {error}", { name, error });
      }
      await this.#end();
      if (this.#stopped) return;
      this.#cancelRestart = this.#clock.setTimer(this.#backoff.next(), () => void this.start());
    }
  }

  /** Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRestart();
    const name = this.#component?.name, ended = new AbortController();
    const tooLong = sleep(this.#clock, MAX_STOP_MS, ended.signal).then(
      () => logger.error("{name} does not stop, which is not waited for any longer", { name }),
      () => {},
    );
    await Promise.race([this.#end(), tooLong]);
    ended.abort();
  }

  async #end(): Promise<void> {
    const component = this.#component;
    this.#component = undefined;
    try {
      await component?.stop();
    } catch (error) {
      logger.error("Cannot stop {name} in order: {error}", { name: component!.name, error });
    }
  }
}

/** Starts and stops all parts as leadership comes and goes, one change at a time. */
export class Leadership {
  readonly #makers: readonly MakeComponent[];
  readonly #clock: Clock;
  #parts: Part[] = [];
  /** The term for which the parts run or start; undefined while this manager does not lead. */
  #term: number | undefined;
  #wanted: number | undefined;
  #work: Promise<void> = Promise.resolve();

  /** `makers` are in the order in which the parts start. */
  constructor(makers: readonly MakeComponent[], clock: Clock) {
    this.#makers = makers;
    this.#clock = clock;
  }

  /** Goes with the status; resolves, never rejects, when all parts have begun to start, or have stopped. */
  follow({ isLeader, term }: { isLeader: boolean; term: number }): Promise<void> {
    const wanted = isLeader ? term : undefined;
    if (wanted !== this.#wanted) {
      this.#wanted = wanted;
      this.#work = this.#work.then(() => this.#change());
    }
    return this.#work;
  }

  async #change(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === this.#term) return;
    await this.#stop();
    if (wanted !== this.#wanted || wanted === undefined) return;
    this.#term = wanted;
    for (const make of this.#makers) {
      const part = new Part(make, this.#clock);
      this.#parts.push(part);
      // Not waited for: one that waits for a write must not keep the others from starting.
      void part.start();
      // A first look at a large state takes tenths of a second: heartbeats and questions have their turn before the next.
      await sleep(this.#clock, 0);
      if (wanted !== this.#wanted) return;
    }
  }

  async #stop(): Promise<void> {
    this.#term = undefined;
    await Promise.all(this.#parts.splice(0).toReversed().map((part) => part.stop()));
  }
}
