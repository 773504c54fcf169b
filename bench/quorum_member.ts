/**
 * One manager of `bench/quorum.ts`, without anything but the quorum. Reads its setup from the file given, then commands from
 * standard input, a line each: `propose CLIENTS MS BYTES`, `stop`. Prints a JSON value a line.
 */
import { systemClock } from "../api/clock.ts";
import { systemRandom } from "../api/random.ts";
import type { StateMachine } from "../manager/consensus/mod.ts";
import { PeerTrust } from "../manager/node/peer_trust.ts";
import { RaftMember } from "../manager/quorum/mod.ts";
import { assembleIdentity, type IdentityFiles } from "../security/mod.ts";
import { createRouter, listenTLS } from "../transport/mod.ts";

/** What a member is started with. */
export interface MemberSetup {
  folder: string;
  address: string;
  identity: IdentityFiles;
  /** Managers to join through; empty for the first. */
  join: string[];
}

/** Counts what is applied and keeps nothing. */
const machine: StateMachine = { apply: () => {}, restore: () => {}, records: () => [], takeDirty: () => [] };

const { folder, address, identity: files, join }: MemberSetup = JSON.parse(
  await Deno.readTextFile(Deno.args[0]!),
);
const identity = assembleIdentity(files);
const trust = new PeerTrust(systemClock);
trust.useIdentity(identity);
const member = await RaftMember.open(`${folder}/state.kv`, {
  ...{ nodeID: identity.nodeID, address, clock: systemClock, random: systemRandom, dialer: trust.dialer },
  join: join.length > 0,
});
const router = createRouter();
for (const [name, method] of Object.entries(member.methods())) router.register(name, method);
const listener = await listenTLS({
  ...{ listen: address, router, clock: systemClock },
  identity: () => trust.material(),
  verifyPeer: (chain) => trust.verify(chain),
});
let leads = false;
member.subscribe(({ isLeader }) => {
  if (isLeader && !leads) console.log(JSON.stringify({ leads: Date.now() }));
  leads = isLeader;
});
await member.start(machine);
if (join.length > 0 && !member.isVoter) await member.join(join);
console.log(JSON.stringify({ ready: member.status().isLeader }));

const input = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
for await (const text of input) {
  for (const line of text.trim().split("\n")) {
    const [command, clients, ms, bytes] = line.split(" ");
    if (command === "propose") console.log(JSON.stringify(await measure(+clients!, +ms!, +bytes!)));
    if (command === "stop") await end();
  }
}

async function end(): Promise<never> {
  await member.stop();
  await listener.close();
  Deno.exit(0);
}

async function measure(clients: number, ms: number, bytes: number) {
  const [entry, start, latencies] = [new Uint8Array(bytes), performance.now(), [] as number[]];
  const client = async () => {
    while (performance.now() - start < ms) {
      const begin = performance.now();
      await member.propose(entry);
      latencies.push(performance.now() - begin);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = (performance.now() - start) / 1000;
  latencies.sort((a, b) => a - b);
  const part = (share: number) => Math.round(latencies[Math.floor(latencies.length * share)]! * 100) / 100;
  return {
    clients,
    bytes,
    perSecond: Math.round(latencies.length / seconds),
    p50: part(0.5),
    p99: part(0.99),
  };
}
