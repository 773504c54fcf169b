/**
 * The network that an address HOST:PORT counts for in limits per address: an IPv4 address by itself, of an IPv6 address the
 * /64, all of which one machine may have.
 */
export function networkOf(remoteAddress: string): string {
  const [, bracketed] = /^\[(.*)\]:\d+$/.exec(remoteAddress) ?? [];
  if (bracketed === undefined) return remoteAddress.slice(0, remoteAddress.lastIndexOf(":"));
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bracketed);
  if (mapped) return mapped[1]!;
  const [head = "", tail] = bracketed.split("::");
  const groups = head === "" ? [] : head.split(":");
  const after = tail ? tail.split(":").length : 0;
  while (groups.length + after < 8 && tail !== undefined) groups.push("0");
  return groups.slice(0, 4).join(":");
}
