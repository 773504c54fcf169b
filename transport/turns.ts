import type { Clock } from "../api/clock.ts";
import { type Lane, MAX_FRAMES_PER_TURN, MAX_FRAMES_PER_VISIT, TURN_MS, VISIT_MS } from "./limits.ts";

/** A connection whose frames wait to be handled. */
export interface Guest {
  readonly lane: Lane;
  /** Handles the next frame; false if none is there. */
  step(): boolean;
  /** Its turn is over before its frames are: it must take in no more. */
  hold(): void;
  /** All that came is handled. */
  go(): void;
  /** Runs `run` when the event loop has had its turn. */
  defer(run: () => void): void;
}

/**
 * A turn for every connection of a listener. While there is little to do, frames are handled as they come. Beyond that,
 * connections wait in line, and each turn of the event loop handles a few frames of the first in each lane: so one that
 * floods delays the others, and all else that the process does, by a visit and no more.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #lanes: Record<Lane, Set<Guest>> = { managers: new Set(), nodes: new Set(), anyone: new Set() };
  /** Whether this turn of the event loop has begun, when, and the frames it has had outside the line. */
  #begun = false;
  #since = 0;
  #frames = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `guest` has got bytes. */
  arrived(guest: Guest): void {
    if (this.#lanes[guest.lane].has(guest)) return;
    this.#begin(guest);
    // Managers need not wait for what others have used up: each has its own visit.
    if ((guest.lane === "managers" || this.#hasTime(guest.lane)) && this.#visit(guest)) return;
    guest.hold();
    this.#lanes[guest.lane].add(guest);
  }

  #begin(guest: Guest): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#since = this.#clock.monotonic();
    this.#frames = 0;
    guest.defer(() => this.#next());
  }

  #hasTime(lane: Lane): boolean {
    return this.#frames < MAX_FRAMES_PER_TURN[lane] && this.#clock.monotonic() - this.#since < TURN_MS;
  }

  /** Handles what may be handled in one go; whether nothing is left. */
  #visit(guest: Guest): boolean {
    const end = this.#clock.monotonic() + VISIT_MS;
    for (let left = MAX_FRAMES_PER_VISIT[guest.lane]; left > 0; left--) {
      if (!guest.step()) return true;
      this.#frames++;
      if (this.#clock.monotonic() >= end) break;
    }
    return false;
  }

  /** The event loop has had its turn: the first in each lane has its own. */
  #next(): void {
    this.#begun = false;
    for (const lane of Object.values(this.#lanes)) {
      const [guest] = lane;
      if (guest === undefined) continue;
      this.#begin(guest);
      lane.delete(guest);
      if (this.#visit(guest)) guest.go();
      else lane.add(guest);
    }
  }
}
