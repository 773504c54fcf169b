import type { SeededRandom } from "../raft/random.ts";
import type { World } from "./world.ts";

/**
 * How slow the network is. Bytes inside a connection cannot be lost, doubled or change places, or TLS would end it: what a
 * stream suffers is delay, silence (one way or both), resets and refused dials. Loss, duplication and reordering of messages
 * are what `tests/sim/raft` does to the core.
 */
export interface Weather {
  /** Share of packets that take up to `slowMs` instead of about a millisecond. */
  slow: number;
  slowMs: number;
}

/** Everything arrives soon. */
export const FAIR: Weather = { slow: 0, slowMs: 0 };

/** One direction between two machines. */
export class NetworkPath {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #weather: () => Weather;
  #held: (() => void)[] = [];
  #stalled = false;

  constructor(world: World, random: SeededRandom, weather: () => Weather) {
    this.#world = world;
    this.#random = random;
    this.#weather = weather;
  }

  /** Whether nothing gets through; what is sent meanwhile arrives afterwards, as TCP sends it again. */
  get stalled(): boolean {
    return this.#stalled;
  }

  set stalled(stalled: boolean) {
    this.#stalled = stalled;
    if (stalled) return;
    for (const arrive of this.#held.splice(0)) this.#world.queue.after(0, arrive);
  }

  /** Has `arrive` run at the other end, not before `notBefore`; returns when that will be if nothing gets in the way. */
  carry(arrive: () => void, notBefore: number): number {
    const { slow, slowMs } = this.#weather();
    const random = this.#random;
    const delayMs = random.chance(slow) ? random.next() * slowMs : 0.1 + random.next() * 1.5;
    const at = Math.max(notBefore, this.#world.now + delayMs);
    this.#world.queue.after(at - this.#world.now, () => {
      // What was held before must arrive before.
      if (this.#stalled) this.#held.push(arrive);
      else arrive();
    });
    return at;
  }
}
