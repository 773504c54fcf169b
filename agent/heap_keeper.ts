/**
 * Collects garbage when some has gathered. Left alone, V8 without threads lets dead objects that have grown old lie until
 * there are a hundred megabytes of them, which on a quiet device takes days and then stays (decision 0040).
 */
import type { CancelTimer, Clock } from "../api/clock.ts";

/** Time between two looks: they ride along with heartbeats, which are more frequent. */
const LOOK_MS = 30_000;
/** The first look takes the start's garbage along, of which there are some megabytes. */
const FIRST_LOOK_MS = 2_000;
/** Growth that is worth a collection, which took 130 to 340 ms on a loaded machine and takes longer on a small device. */
export const MAX_GROWTH_BYTES = 1024 * 1024;

/** After a collection the C library gives its pages back in a turn of its own; a small device takes its time. */
const SETTLE_MS = 2_000;

/** One look at the heap. */
export interface HeapLook {
  /** It had grown so much since the look before that it was collected: what is in use now may be garbage soon. */
  isBusy: boolean;
  /** Its garbage has just been collected. */
  isCollected: boolean;
}

/** What a heap keeper works with. */
export interface HeapKeeperOptions {
  clock: Clock;
  /** Bytes of the heap in use, garbage included. */
  usedBytes: () => number;
  /** Collects all garbage at once. */
  collect: () => void;
  /** Told of each look; true has the garbage collected, and another look taken. */
  onLook?: (look: HeapLook) => boolean;
}

/**
 * Looks at the heap from time to time and has it collected when it has grown enough, and once more when it grows no
 * longer: what was alive in the middle of a busy time is garbage in its end, which no growth would tell.
 */
export class HeapKeeper {
  readonly #options: HeapKeeperOptions;
  #afterLast: number | undefined;
  #wasBusy = false;
  #cancel: CancelTimer = () => {};
  #cancelTelling: CancelTimer = () => {};

  constructor(options: HeapKeeperOptions) {
    this.#options = options;
  }

  /** Begins to look. */
  start(): void {
    this.#lookAfter(FIRST_LOOK_MS);
  }

  #lookAfter(ms: number): void {
    this.#cancel = this.#options.clock.setTimer(ms, () => {
      this.#look();
      this.#lookAfter(LOOK_MS);
    });
  }

  stop(): void {
    this.#cancel();
    this.#cancelTelling();
  }

  #look(): void {
    const { usedBytes } = this.#options;
    const grown = this.#afterLast === undefined ? 0 : usedBytes() - this.#afterLast;
    const isBusy = grown > MAX_GROWTH_BYTES;
    if (!isBusy && !this.#wasBusy && this.#afterLast !== undefined) return this.#tell();
    this.#collect(isBusy);
    this.#wasBusy = isBusy;
  }

  #collect(isBusy: boolean): void {
    const { clock, usedBytes, collect, onLook } = this.#options;
    collect();
    this.#afterLast = usedBytes();
    this.#cancelTelling();
    if (onLook) {
      this.#cancelTelling = clock.setTimer(SETTLE_MS, () => void onLook({ isBusy, isCollected: true }));
    }
  }

  #tell(): void {
    if (this.#options.onLook?.({ isBusy: false, isCollected: false })) this.#collect(false);
  }
}
