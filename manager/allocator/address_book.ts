/**
 * Which addresses of the cluster's networks are whose. Pure: it begins empty and is told what the store says, so that it is
 * the same after any history that led there.
 *
 * A holder's first choice is a place in the network that its name alone decides, and then the next free one: the same
 * question has the same answer after a rebuild, and an address that was just given back is not the next one given out,
 * while others may still have it in their tables.
 */
import { formatIPv4, parseBlock, parseIPv4 } from "../../api/ipv4.ts";
import type { Network, NetworkSubnet } from "../../api/network.ts";

const FNV_OFFSET = 0x811c_9dc5, FNV_PRIME = 0x0100_0193;

function hashOf(text: string): number {
  let hash = FNV_OFFSET;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), FNV_PRIME);
  // Of names that differ in their last letters only, the lower bits follow each other.
  hash ^= hash >>> 15;
  return Math.imul(hash, FNV_PRIME) >>> 0;
}

/** The addresses of one subnet that somebody can be given. */
class Space {
  readonly bits: number;
  readonly #first: number;
  readonly #size: number;
  readonly #kept: ReadonlySet<number>;
  readonly #holders = new Map<number, string>();

  constructor({ Subnet, IPRange, Gateway, AuxiliaryAddresses = {} }: NetworkSubnet) {
    const subnet = parseBlock(Subnet)!, range = IPRange === undefined ? subnet : parseBlock(IPRange)!;
    const last = Math.min(range.last, subnet.last - 1);
    this.bits = subnet.bits;
    // Neither the network's own address nor that of all its hosts.
    this.#first = Math.max(range.first, subnet.first + 1);
    this.#size = Math.max(0, last - this.#first + 1);
    const kept = [Gateway, ...Object.values(AuxiliaryAddresses)].map((text) => parseIPv4(text)!);
    this.#kept = new Set(kept.filter((address) => address >= this.#first && address <= last));
  }

  get free(): number {
    return this.#size - this.#kept.size - this.#holders.size;
  }

  take(holder: string): number | undefined {
    if (this.free <= 0) return undefined;
    let at = hashOf(holder) % this.#size;
    while (this.#isTaken(this.#first + at)) at = (at + 1) % this.#size;
    this.#holders.set(this.#first + at, holder);
    return this.#first + at;
  }

  /** Whether `holder` has `address` from now on: not if another has it, or nobody can. */
  claim(address: number, holder: string): boolean {
    const isIn = address >= this.#first && address < this.#first + this.#size;
    if (!isIn || this.#kept.has(address) || (this.#holders.get(address) ?? holder) !== holder) return false;
    this.#holders.set(address, holder);
    return true;
  }

  release(address: number): void {
    this.#holders.delete(address);
  }

  #isTaken(address: number): boolean {
    return this.#holders.has(address) || this.#kept.has(address);
  }
}

/** What a holder has in a network. */
interface Held {
  space: Space;
  address: number;
}

/** All networks, each with who has which of its addresses; one for each holder. */
export class AddressBook {
  readonly #networks = new Map<string, { spaces: Space[]; held: Map<string, Held> }>();
  readonly #networksOf = new Map<string, Set<string>>();

  /** Forgets everything. */
  clear(): void {
    this.#networks.clear();
    this.#networksOf.clear();
  }

  /** Notes a network; nothing of one that is known changes. */
  add({ ID, Subnets }: Pick<Network, "ID" | "Subnets">): void {
    if (this.#networks.has(ID)) return;
    this.#networks.set(ID, { spaces: Subnets.map((subnet) => new Space(subnet)), held: new Map() });
  }

  /** Forgets a network and whatever is held of it. */
  remove(id: string): void {
    for (const holder of this.#networks.get(id)?.held.keys() ?? []) this.#forget(holder, id);
    this.#networks.delete(id);
  }

  has(id: string): boolean {
    return this.#networks.has(id);
  }

  /** How many addresses of a network nobody has. */
  free(id: string): number {
    return this.#networks.get(id)?.spaces.reduce((sum, space) => sum + space.free, 0) ?? 0;
  }

  /** How many have an address of a network. */
  holders(id: string): number {
    return this.#networks.get(id)?.held.size ?? 0;
  }

  /** The networks of which `holder` has an address. */
  networksOf(holder: string): string[] {
    return [...this.#networksOf.get(holder) ?? []];
  }

  /**
   * The address of `holder` with its mask, the one that it has already if it has one; undefined where no more than
   * `kept` are left, which are for others.
   */
  take(id: string, holder: string, kept = 0): string | undefined {
    const network = this.#networks.get(id);
    const known = network?.held.get(holder);
    if (known !== undefined) return shown(known);
    if (kept > 0 && this.free(id) <= kept) return undefined;
    for (const space of network?.spaces ?? []) {
      const address = space.take(holder);
      if (address !== undefined) return this.#note(id, holder, { space, address });
    }
  }

  /** Notes that `holder` has `address`, which may have a mask; false if another has it, or the network does not have it. */
  claim(id: string, holder: string, address: string): boolean {
    const network = this.#networks.get(id), number = parseIPv4(address.split("/", 1)[0]!);
    if (network === undefined || number === undefined) return false;
    const known = network.held.get(holder);
    if (known !== undefined) return known.address === number;
    const space = network.spaces.find((each) => each.claim(number, holder));
    if (space !== undefined) this.#note(id, holder, { space, address: number });
    return space !== undefined;
  }

  /** What `holder` has in a network is free again; true if it had something. */
  release(id: string, holder: string): boolean {
    const network = this.#networks.get(id), held = network?.held.get(holder);
    if (network === undefined || held === undefined) return false;
    held.space.release(held.address);
    network.held.delete(holder);
    this.#forget(holder, id);
    return true;
  }

  #note(id: string, holder: string, held: Held): string {
    this.#networks.get(id)!.held.set(holder, held);
    const networks = this.#networksOf.get(holder);
    if (networks === undefined) this.#networksOf.set(holder, new Set([id]));
    else networks.add(id);
    return shown(held);
  }

  #forget(holder: string, id: string): void {
    const networks = this.#networksOf.get(holder);
    networks?.delete(id);
    if (networks?.size === 0) this.#networksOf.delete(holder);
  }
}

function shown({ space, address }: Held): string {
  return `${formatIPv4(address)}/${space.bits}`;
}
