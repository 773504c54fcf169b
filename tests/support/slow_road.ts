/**
 * A slow and lossy way between two hosts, for kernels without such a queue of their own: takes the packets that its host is
 * to pass on through two tunnel devices, keeps each for a while and loses some. What goes over it are hosts' packets.
 *
 *   deno run -A slow_road.ts ADDRESS DELAY_MS LOSS   packets for ADDRESS one way, all others the other way
 */
const [address = "", delay = "0", loss = "0"] = Deno.args;
const DELAY_MS = Number(delay), LOSS = Number(loss);
/** `ioctl` that names a tunnel device, and its flags: IP packets without a head. */
const TUNSETIFF = 0x400454ca, IFF_TUN = 1, IFF_NO_PI = 0x1000;
const O_RDWR = 2, MAX_PACKET_BYTES = 65_536, TABLE = "77";

const libc = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize", nonblocking: true },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args, stderr: "piped" }).outputSync();
  if (!success) throw new Error(`Cannot run ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

function openTunnel(name: string): number {
  const fd = libc.symbols.open(new TextEncoder().encode("/dev/net/tun\0"), O_RDWR);
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name));
  new DataView(request.buffer).setInt16(16, IFF_TUN | IFF_NO_PI, true);
  if (fd < 0 || libc.symbols.ioctl(fd, BigInt(TUNSETIFF), request) < 0) {
    throw new Error(`Cannot make tunnel ${name}`);
  }
  ip("link", "set", name, "up");
  return fd;
}

/** What comes out of one tunnel goes into the other, later or never. */
async function carry(from: number, to: number): Promise<void> {
  while (true) {
    const packet = new Uint8Array(MAX_PACKET_BYTES);
    const length = Number(await libc.symbols.read(from, packet, BigInt(packet.length)));
    if (length <= 0) continue;
    const bytes = packet.slice(0, length);
    if (Math.random() < LOSS) continue;
    setTimeout(() => libc.symbols.write(to, bytes, BigInt(bytes.length)), DELAY_MS);
  }
}

const [near, far] = [openTunnel("near"), openTunnel("far")];
ip("rule", "add", "iif", "eth0", "lookup", TABLE, "priority", "10");
ip("route", "add", address, "dev", "near", "table", TABLE);
ip("route", "add", "default", "dev", "far", "table", TABLE);
console.log("open");
await Promise.all([carry(near, far), carry(far, near)]);
