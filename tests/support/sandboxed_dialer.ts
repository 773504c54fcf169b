/**
 * Run by the TLS tests with `--allow-net=HOST:PORT` as its only permission; reads where to dial from its
 * input.
 */
import { systemClock } from "../../api/clock.ts";
import { tlsDialer } from "../../transport/mod.ts";

const { address, ...material } = await new Response(Deno.stdin.readable).json();
const identity = { nodeID: "m1", clusterID: "c", role: "swarm-manager" as const, certificatePEM: "" };
const dialer = tlsDialer({ identity: () => material, verifyPeer: () => identity, clock: systemClock });
const connection = await dialer.dial(address);
const who = await connection.call<string>("t.who", null);
connection.close();
await connection.closed;
const elsewhere = await dialer.dial("127.0.0.1:9").then(() => "open", (error) => {
  return /NotCapable|net access/i.test(`${error.cause} ${error.message}`) ? "refused" : error.message;
});
console.log(`${who}; another port: ${elsewhere}`);
