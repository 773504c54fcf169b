/** Turns the store's commits into events, remembers the last ones and hands new ones to whoever listens. */
import type { Clock } from "../../../api/clock.ts";
import type { ManagerHandle } from "../lifecycle.ts";
import type { Store } from "../../store/store.ts";
import { type SwarmEvent, swarmEvent, useEvent } from "./swarm_event.ts";

/** Events remembered for `since` (moby's number). */
const MAX_REMEMBERED_EVENTS = 256;

/** The events of the manager that runs at the moment. */
export class EventHub {
  readonly #clock: Clock;
  readonly #listeners = new Set<(event: SwarmEvent) => void>();
  #remembered: SwarmEvent[] = [];
  #store: Store | undefined;
  #unsubscribe: (() => void) | undefined;
  #unlisten: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Follows `manager`'s store from now on. Cheap when it is the one followed already. */
  follow(manager: ManagerHandle | undefined): void {
    if (manager?.store === this.#store) return;
    this.#unsubscribe?.();
    this.#unlisten?.();
    this.#store = manager?.store;
    this.#unlisten = manager?.streams.listen((usage) => this.#publish(useEvent(usage, this.#clock.now())));
    this.#unsubscribe = this.#store?.subscribe(({ changes }) => {
      for (const change of changes) {
        const event = swarmEvent(change, this.#clock.now());
        if (event !== undefined) this.#publish(event);
      }
    });
  }

  #publish(event: SwarmEvent): void {
    this.#remembered.push(event);
    // Trimmed in halves, so that a busy store does not move the whole list with each event.
    if (this.#remembered.length >= 2 * MAX_REMEMBERED_EVENTS) {
      this.#remembered = this.#remembered.slice(-MAX_REMEMBERED_EVENTS);
    }
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** The remembered events, oldest first. */
  remembered(): SwarmEvent[] {
    return this.#remembered.slice(-MAX_REMEMBERED_EVENTS);
  }

  /** Calls `listener` with each event from now on; returns the way to stop. */
  listen(listener: (event: SwarmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Stops following. */
  close(): void {
    this.follow(undefined);
    this.#listeners.clear();
  }
}
