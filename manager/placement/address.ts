/** Addresses and networks as the constraint `node.ip` compares them. */
import { BlockList, isIP } from "node:net";

/** An IPv4 address in the form that a socket for both families shows: two groups at the end of an IPv6 address. */
const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;
const MAPPED_BITS = 96;

interface Address {
  text: string;
  family: "ipv4" | "ipv6";
}

/** `text` as an address, an IPv4-mapped one as the IPv4 address it is; undefined if it is none, or bound to an interface. */
function parseAddress(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 4) return { text, family: "ipv4" };
  if (family !== 6 || text.includes("%")) return undefined;
  const shortest = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [, high, low] = MAPPED.exec(shortest) ?? [];
  if (high === undefined || low === undefined) return { text: shortest, family: "ipv6" };
  const groups = [parseInt(high, 16), parseInt(low, 16)];
  return { text: groups.flatMap((group) => [group >> 8, group & 255]).join("."), family: "ipv4" };
}

/**
 * What tells whether an address is `wanted`, an address or a network in CIDR notation; undefined if `wanted` is neither.
 * An address that is none is never in it.
 */
export function addressTest(wanted: string): ((address: string) => boolean) | undefined {
  const [network = "", prefix] = wanted.split("/", 2);
  const base = parseAddress(network);
  if (base === undefined || wanted.split("/").length > 2) return undefined;
  const list = new BlockList();
  if (prefix === undefined) list.addAddress(base.text, base.family);
  else {
    const mapped = base.family === "ipv4" && isIP(network) === 6;
    const bits = Number(prefix) - (mapped ? MAPPED_BITS : 0);
    const most = base.family === "ipv4" ? 32 : 128;
    if (!/^\d{1,3}$/.test(prefix) || bits < 0 || bits > most) return undefined;
    list.addSubnet(base.text, bits, base.family);
  }
  return (text) => {
    const address = parseAddress(text);
    return address?.family === base.family && list.check(address.text, address.family);
  };
}
