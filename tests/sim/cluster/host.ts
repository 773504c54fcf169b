import type { Clock } from "../../../api/clock.ts";
import type { Random } from "../../../api/random.ts";
import { START_MS, type World } from "./world.ts";

/** How far a machine's clock may run fast or slow. */
const MAX_DRIFT = 0.02;
/** A timer takes some time, as real ones do: who waits for what is left of a deadline must get there. */
const MIN_TIMER_MS = 0.001;

/**
 * One machine and the program on it. All code of the program runs inside {@linkcode enter}, so that a pause delays all of it
 * and a crash ends all of it: timers of a life that is over never fire, its disk never answers, nothing reaches it.
 */
export class Host {
  /** Counts starts of the program. */
  life = 0;
  running = false;
  /** Whether its kernel answers: a machine without power refuses nothing. */
  powered = true;
  /** How far the wall clock is off. */
  wallOffsetMs = 0;
  readonly #rate: number;
  readonly #onCrash = new Set<() => void>();
  #paused = false;
  #held: (() => void)[] = [];

  constructor(readonly name: string, readonly world: World) {
    this.#rate = 1 + MAX_DRIFT * (2 * world.random.next() - 1);
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** The program starts; what is handed out for this life is worth nothing after it. */
  boot(): number {
    this.running = true;
    this.powered = true;
    return ++this.life;
  }

  /** The program ends without a word. */
  crash(powered: boolean): void {
    this.life++;
    this.running = false;
    this.powered = powered;
    this.#paused = false;
    this.#held = [];
    for (const run of [...this.#onCrash]) run();
    this.#onCrash.clear();
  }

  /** Calls `run` at the next crash; returns how to call it off. */
  onCrash(run: () => void): () => void {
    this.#onCrash.add(run);
    return () => void this.#onCrash.delete(run);
  }

  pause(): void {
    if (this.running) this.#paused = true;
  }

  /** Everything that was due meanwhile happens now, in order. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    for (const run of this.#held.splice(0)) this.world.queue.after(0, run);
  }

  /** Runs code of a life of this machine, as soon as it may. */
  enter(life: number, run: () => void): void {
    if (life !== this.life) return;
    if (this.#paused) this.#held.push(() => this.enter(life, run));
    else {
      try {
        run();
      } catch (error) {
        this.world.fail(new Error(`${this.name} would have crashed`, { cause: error }));
      }
    }
  }

  /** The clock of the present life. */
  clock(): Clock {
    const { life, world } = this;
    const monotonic = () => world.now * this.#rate;
    return {
      now: () => START_MS + monotonic() + this.wallOffsetMs,
      monotonic,
      setTimer: (delayMs, run) => {
        if (life !== this.life) return () => {};
        let due = true;
        const cancel = world.queue.timer(
          Math.max(MIN_TIMER_MS, delayMs) / this.#rate,
          () => this.enter(life, () => due && run()),
        );
        return () => {
          due = false;
          cancel();
        };
      },
    };
  }

  /** Randomness for one life. */
  random(): Random {
    const { next } = this.world.fork();
    return { float: next, bytes: (length) => Uint8Array.from({ length }, () => next() * 256) };
  }
}
