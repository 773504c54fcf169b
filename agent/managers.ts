/** The managers an agent may connect to, and which one to try next (SwarmKit `remotes`). Pure. */
import type { WeightedPeer } from "../api/dispatcher.ts";
import type { Random } from "../api/random.ts";
import { Patience } from "./patience.ts";

/** What a good or a bad experience counts, and how fast the newest one outweighs those before. */
const OBSERVATION = 10;
const SMOOTHING = 0.5;
/** Keeps the chance of a failing manager above zero: it may be the only one that comes back. */
const MIN_WEIGHT = 0.5;
/** A cluster has at most 7 voters; a list much longer than that is a mistake. */
const MAX_MANAGERS = 64;
/** Addresses kept that no manager lists: those given, and a few where one was found. Each dead one costs attempts. */
const MAX_UNLISTED = 16;
/** Such an address is seldom the better one: it counts less, until the others fail. */
const UNLISTED_SHARE = 0.2;

interface Candidate {
  weight: number;
  readonly patience: Patience;
  listed: boolean;
  /** Since one of them was good, or the last round of all began. */
  failed: boolean;
  /** Given by whoever started the agent, or found to be a manager's. */
  proven: boolean;
}

/** A list of addresses with a weight for each. */
export class Managers {
  readonly #random: Random;
  readonly #candidates = new Map<string, Candidate>();

  /** Starts with `addresses`, all equally good and never forgotten as long as there is room. */
  constructor(random: Random, addresses: Iterable<string>) {
    this.#random = random;
    for (const address of addresses) {
      this.#candidates.set(address, candidate(true));
    }
  }

  /** HOST:PORT of every candidate. */
  get addresses(): string[] {
    return [...this.#candidates.keys()];
  }

  /**
   * Draws a manager, the better ones more often, and none again that has failed before every listed one was tried: of
   * five with one that is left, chance alone may take a minute to find it. Undefined if none is known.
   */
  pick(): string | undefined {
    const all = [...this.#candidates];
    if (!all.some(([, { listed, failed }]) => listed && !failed)) {
      for (const [, candidate] of all) candidate.failed = false;
    }
    const round = all.filter(([, { failed }]) => !failed);
    const total = round.reduce((sum, [, candidate]) => sum + share(candidate), 0);
    let left = this.#random.float() * total;
    let last: string | undefined;
    for (const [address, candidate] of round) {
      last = address;
      left -= share(candidate);
      if (left < 0) break;
    }
    return last;
  }

  /** The patience with `address`; one of its own for an address that is no candidate any more. */
  patience(address: string): Patience {
    return this.#candidates.get(address)?.patience ?? new Patience();
  }

  /** Notes how a connection to `address` went. */
  observe(address: string, good: boolean): void {
    const candidate = this.#candidates.get(address);
    if (candidate === undefined) return;
    const next = candidate.weight + SMOOTHING * ((good ? OBSERVATION : -OBSERVATION) - candidate.weight);
    candidate.weight = Math.max(MIN_WEIGHT, next);
    candidate.proven ||= good;
    candidate.failed = !good;
    if (good) { for (const other of this.#candidates.values()) other.failed = false; }
  }

  /**
   * Takes over the list that a manager sent; an empty one is ignored. What is not in it stays a candidate if it was given or
   * has worked: behind a port forwarding or a VPN, managers list what this node cannot reach. True if the addresses changed.
   */
  replace(peers: WeightedPeer[]): boolean {
    const next = new Set(peers.slice(0, MAX_MANAGERS).map((peer) => peer.Addr));
    if (next.size === 0) return false;
    const before = this.addresses;
    let unlisted = 0;
    for (const [address, candidate] of this.#candidates) {
      candidate.listed = next.has(address);
      if (candidate.listed) continue;
      if (!candidate.proven || ++unlisted > MAX_UNLISTED) this.#candidates.delete(address);
    }
    for (const address of next) {
      if (this.#candidates.has(address)) continue;
      this.#candidates.set(address, candidate(false));
    }
    return before.join() !== this.addresses.join();
  }
}

function candidate(proven: boolean): Candidate {
  return { weight: OBSERVATION, patience: new Patience(), listed: true, failed: false, proven };
}

function share({ weight, listed }: Candidate): number {
  return listed ? weight : weight * UNLISTED_SHARE;
}
