/** When nodes were last heard of, and how they said that they are; kept in memory, as it changes all the time. */
import { type Clock, timestamp } from "../../api/clock.ts";
import type { NodeMetrics, ShownMetrics } from "../../api/node_metrics.ts";

/** What a leader heard of the nodes in its term. */
export class Heard {
  readonly #clock: Clock;
  readonly #at = new Map<string, number>();
  readonly #metrics = new Map<string, ShownMetrics>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A node was heard of just now. */
  note(nodeID: string): void {
    this.#at.set(nodeID, this.#clock.monotonic());
  }

  /** How a node says that it is. */
  take(nodeID: string, { Clock, ...metrics }: NodeMetrics): void {
    const skew = Clock === undefined ? {} : { ClockSkewMs: Math.round(Clock - this.#clock.now()) };
    this.#metrics.set(nodeID, { MeasuredAt: timestamp(this.#clock), ...metrics, ...skew });
  }

  /** When a node was last heard of: milliseconds of the clock's monotonic time; undefined if it was not. */
  at(nodeID: string): number | undefined {
    return this.#at.get(nodeID);
  }

  /** See {@linkcode Heard.take}. */
  metrics(nodeID: string): ShownMetrics | undefined {
    return this.#metrics.get(nodeID);
  }

  forget(nodeID: string): void {
    this.#at.delete(nodeID);
    this.#metrics.delete(nodeID);
  }

  clear(): void {
    this.#at.clear();
    this.#metrics.clear();
  }
}
