/** The managers an agent may connect to, and which one to try next (SwarmKit `remotes`). Pure. */
import type { WeightedPeer } from "../api/dispatcher.ts";
import type { Random } from "../api/random.ts";

/** What a good or a bad experience counts, and how fast the newest one outweighs those before. */
const OBSERVATION = 10;
const SMOOTHING = 0.5;
/** Keeps the chance of a failing manager above zero: it may be the only one that comes back. */
const MIN_WEIGHT = 0.5;
/** A cluster has at most 7 voters; a list much longer than that is a mistake. */
const MAX_MANAGERS = 64;

/** A list of addresses with a weight for each. */
export class Managers {
  readonly #random: Random;
  readonly #weights = new Map<string, number>();

  /** Starts with `addresses`, all equally good. */
  constructor(random: Random, addresses: Iterable<string>) {
    this.#random = random;
    for (const address of addresses) this.#weights.set(address, OBSERVATION);
  }

  /** HOST:PORT of every manager known. */
  get addresses(): string[] {
    return [...this.#weights.keys()];
  }

  /** Draws a manager, the better ones more often; undefined if none is known. */
  pick(): string | undefined {
    let total = 0;
    for (const weight of this.#weights.values()) total += weight;
    let left = this.#random.float() * total;
    let last: string | undefined;
    for (const [address, weight] of this.#weights) {
      last = address;
      left -= weight;
      if (left < 0) break;
    }
    return last;
  }

  /** Notes how a connection to `address` went. */
  observe(address: string, good: boolean): void {
    const weight = this.#weights.get(address);
    if (weight === undefined) return;
    const next = weight + SMOOTHING * ((good ? OBSERVATION : -OBSERVATION) - weight);
    this.#weights.set(address, Math.max(MIN_WEIGHT, next));
  }

  /** Takes over the list that a manager sent; an empty one is ignored. True if the addresses changed. */
  replace(peers: WeightedPeer[]): boolean {
    const next = new Set(peers.slice(0, MAX_MANAGERS).map((peer) => peer.Addr));
    if (next.size === 0) return false;
    const before = this.addresses;
    for (const address of before) if (!next.has(address)) this.#weights.delete(address);
    for (const address of next) if (!this.#weights.has(address)) this.#weights.set(address, OBSERVATION);
    return before.length !== next.size || before.some((address) => !next.has(address));
  }
}
