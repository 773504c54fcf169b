/** Shapes of addresses and networks. */
import { isIP } from "node:net";
import { parseBlock, parseIPv4 } from "../ipv4.ts";
import { line, type Shape } from "./shape.ts";

/** Characters of an address with its mask: an IPv6 address has at most 45. */
const MAX_ADDRESS_LENGTH = 64;

/** A line that `isOne` says yes to, or else is told that it is no `what`. */
function lineOf(isOne: (text: string) => boolean, what: string): Shape<string> {
  const text = line(MAX_ADDRESS_LENGTH);
  return (value, path, problems) => {
    const found = text(value, path, problems);
    if (found === undefined || isOne(found)) return found;
    problems.push({ field: path, message: `${what}: current value is "${found}"` });
  };
}

/** An IPv4 or IPv6 address, without port or interface. */
export const ipAddress = lineOf((text) => isIP(text) !== 0 && !text.includes("%"), "must be an IP address");

/** An IPv4 address. */
export const ipv4Address = lineOf((text) => parseIPv4(text) !== undefined, "must be an IPv4 address");

/** An IPv4 network in CIDR notation. */
export const ipv4Block = lineOf((text) => parseBlock(text) !== undefined, "must be an IPv4 network");
