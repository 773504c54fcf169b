/** IPv4 addresses and networks as numbers. Pure. */

/** A network: its first and last address, and how many bits its mask has. */
export interface Block {
  readonly first: number;
  readonly last: number;
  readonly bits: number;
}

/** Bits of an address. */
const ADDRESS_BITS = 32;

/** First byte of a host's own addresses. */
const LOOPBACK = 127;

/** An address as a number; undefined for what is not four numbers of at most three digits without leading zeros. */
export function parseIPv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.reduce((number, part) => number * 256 + Number(part), 0);
}

/** An address as text. */
export function formatIPv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

/** A network in CIDR notation, whose address may be any of its own; undefined for what is none. */
export function parseBlock(text: string): Block | undefined {
  const [, host = "", mask = ""] = /^([^/]*)\/(\d{1,2})$/.exec(text) ?? [];
  const address = parseIPv4(host), bits = Number(mask);
  if (address === undefined || bits > ADDRESS_BITS) return undefined;
  return blockAt(address, bits);
}

/** The network with a mask of `bits` that `address` is in. */
export function blockAt(address: number, bits: number): Block {
  const size = 2 ** (ADDRESS_BITS - bits);
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1, bits };
}

/** A network in CIDR notation. */
export function formatBlock({ first, bits }: Block): string {
  return `${formatIPv4(first)}/${bits}`;
}

/** True if `block` has `address`. */
export function contains(block: Block, address: number): boolean {
  return address >= block.first && address <= block.last;
}

/** True if the networks have an address in common. */
export function overlap(one: Block, other: Block): boolean {
  return one.first <= other.last && other.first <= one.last;
}

/** True if hosts can have the addresses: not "this network", loopback, or multicast and what is above it. */
export function isForHosts({ first, last }: Block): boolean {
  const [lowest, highest] = [first, last].map((address) => Math.floor(address / 2 ** 24)) as [number, number];
  return lowest > 0 && highest < 224 && !(lowest <= LOOPBACK && highest >= LOOPBACK);
}
