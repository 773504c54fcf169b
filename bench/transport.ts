/**
 * Pipelined 200-byte echo calls, stream items and memory per idle connection over mutual TLS on loopback,
 * both ends in
 * this process. Run: deno run -A bench/transport.ts
 */
import { systemClock } from "../api/clock.ts";
import { createRouter, listenTLS, tlsDialer, type VerifyPeer } from "../transport/mod.ts";
import { OpenSSLAuthority } from "../tests/support/openssl.ts";

const CALLS = 300_000;
const IN_FLIGHT = 1000;
const CONNECTIONS = 200;

using authority = new OpenSSLAuthority();
const router = createRouter();
router.register("bench.echo", {
  kind: "unary",
  access: "anyone",
  handler: (request) => Promise.resolve(request),
});
router.register("bench.items", {
  kind: "server_stream",
  access: "anyone",
  async *handler(request) {
    for (let i = 0; i < (request as number); i++) yield payload;
  },
});
const payload = new Uint8Array(200).fill(7);
const verifyPeer: VerifyPeer = () => ({
  nodeID: "n",
  clusterID: "c",
  role: "swarm-worker",
  certificatePEM: "",
});
const server = authority.issue("m1", "swarm-manager");
const client = authority.issue("w1", "swarm-worker");
const listener = await listenTLS({
  listen: "127.0.0.1:0",
  identity: () => server,
  verifyPeer,
  router,
  clock: systemClock,
  // One certificate for all: a bench need not make as many.
  limits: { maxConnectionsPerWorker: CONNECTIONS + 1 },
});
const dialer = tlsDialer({ identity: () => client, verifyPeer, clock: systemClock });
const connection = await dialer.dial(listener.address);

async function rate(name: string, count: number, run: () => Promise<void>): Promise<void> {
  const start = performance.now();
  await run();
  const perSecond = Math.round(count / ((performance.now() - start) / 1000));
  console.log(`${name}: ${perSecond.toLocaleString("en")}/s`);
}

async function echo(count: number): Promise<void> {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await connection.call("bench.echo", payload);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

await echo(50_000);
await rate(`unary echo of 200 bytes, ${IN_FLIGHT} in flight, one connection`, CALLS, () => echo(CALLS));
await rate("unary echo of 200 bytes, one at a time", 5000, async () => {
  for (let i = 0; i < 5000; i++) await connection.call("bench.echo", payload);
});
await rate("server stream items of 200 bytes", CALLS, async () => {
  let items = 0;
  for await (const _ of connection.serverStream("bench.items", CALLS)) items++;
  if (items !== CALLS) throw new Error(`${items} items`);
});
const before = Deno.memoryUsage().rss;
const start = performance.now();
const idle = await Promise.all(Array.from({ length: CONNECTIONS }, () => dialer.dial(listener.address)));
const perSecond = Math.round(CONNECTIONS / ((performance.now() - start) / 1000));
const kilobytes = Math.round((Deno.memoryUsage().rss - before) / CONNECTIONS / 1024);
console.log(`dials: ${perSecond}/s; memory of an idle connection, both ends: ${kilobytes} KB`);
for (const one of [connection, ...idle]) one.close();
await listener.close();
