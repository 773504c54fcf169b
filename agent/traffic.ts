/** Counts what goes over the connections to managers, by what it is for. */
import type { Traffic } from "../transport/types.ts";

/** What a frame costs on the wire beside its bytes: its length, a TLS record, and two packets of IPv4 and TCP, the second to say that it came. */
const FRAME_COST_BYTES = 4 + 22 + 2 * 52;
/** A connection until its first frame: both certificates with their chains, and the packets of TCP and TLS. */
const CONNECT_COST_BYTES = 5000;

/** Bytes by what they were for: `heartbeat`, `session` and the other calls by name, `connect`, and `connection` for signs of life. */
export class TrafficCounter implements Traffic {
  readonly #bytes = new Map<string, number>();

  frame(method: string | undefined, bytes: number): void {
    const name = method === undefined ? "connection" : method.slice(method.indexOf(".") + 1);
    this.#add(name, bytes + FRAME_COST_BYTES);
  }

  connected(): void {
    this.#add("connect", CONNECT_COST_BYTES);
  }

  /** All since the agent's start. */
  get totals(): Record<string, number> {
    return Object.fromEntries(this.#bytes);
  }

  #add(name: string, bytes: number): void {
    this.#bytes.set(name, (this.#bytes.get(name) ?? 0) + bytes);
  }
}
