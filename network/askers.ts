/**
 * Who asks for names: each container's address in a network, and the one by which the resolver hears of it. The agent's sandbox lets
 * it answer to nothing but a range of addresses that exists on the link to the networks' namespace alone, so the helper has each
 * question come from there. Pure.
 */
import { formatIPv4, parseBlock, parseIPv4 } from "../api/ipv4.ts";
import type { TaskHere } from "./task_spaces.ts";

/** The range that the sandbox knows; see agent/launch.sh and helper/network_server.sh. */
const RANGE = parseBlock("169.254.80.0/20")!;

/** The tasks of this node with their places in networks. */
export type TasksHere = () => Iterable<TaskHere>;

/** Places of the range, given to the tasks' addresses for as long as the tasks are here. */
export class Askers {
  readonly #tasks: TasksHere;
  readonly #places = new Map<string, number>();
  readonly #addresses = new Map<number, string>();

  constructor(tasks: TasksHere) {
    this.#tasks = tasks;
  }

  /** Every address of a task here and its place, after those of tasks that are gone were given back. */
  refresh(): { address: string; place: string }[] {
    const present = new Set<string>();
    for (const { NetworkAttachments = [] } of this.#tasks()) {
      for (const { Addresses: [first = ""] } of NetworkAttachments) present.add(first.split("/", 1)[0]!);
    }
    for (const [address, place] of this.#places) {
      if (present.has(address)) continue;
      this.#places.delete(address);
      this.#addresses.delete(place);
    }
    for (const address of present) this.#give(address);
    return [...this.#places].map(([address, place]) => ({ address, place: formatIPv4(place) }));
  }

  /** The place of an address. */
  placeOf(address: string): string | undefined {
    const place = this.#places.get(address);
    return place === undefined ? undefined : formatIPv4(place);
  }

  /** The address that stands behind a place. */
  at(place: string): string | undefined {
    return this.#addresses.get(parseIPv4(place) ?? 0);
  }

  /** Where all are taken, some are not answered: a node has no such number of containers. */
  #give(address: string): void {
    if (this.#places.has(address)) return;
    for (let place = RANGE.first + 1; place < RANGE.last; place++) {
      if (this.#addresses.has(place)) continue;
      this.#places.set(address, place);
      this.#addresses.set(place, address);
      return;
    }
  }
}
