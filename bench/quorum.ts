/**
 * Three managers beside three managers of Docker Swarm, and three bare members beside three etcds, in one run on this
 * machine. Prints ratios. Our members and etcd's gateway get the same HTTP/1.1 client, etcd's gRPC Node's HTTP/2.
 *
 *     deno run -A --unstable-kv bench/quorum.ts [swarm] [etcd]       both without an argument
 *
 * Needs root, Debian's docker.io and etcd-server, and the scripts that start the peers (COVEY_PEERS, default ../shared/peers).
 */
import { cpuUsage } from "node:process";
import { fileURLToPath } from "node:url";
import { median, ratio } from "./figures.ts";
import { etcdPutClient } from "./quorum/etcd_put.ts";
import { httpPutClient, type PutClient } from "./quorum/http_put.ts";
import { closedLoop, describeLoad, type LoadFigures } from "./quorum/load.ts";
import { BareQuorum } from "./quorum/members.ts";
import { failOver, measureCreates, SwarmPeer, withManagers } from "./quorum/swarms.ts";

const PEERS = Deno.env.get("COVEY_PEERS") ?? fileURLToPath(new URL("../../shared/peers", import.meta.url));
const ROUNDS = 3, CREATE_MS = 6000, CREATE_CLIENTS = 16;
const VALUE_BYTES = 256, KEYS = 1000, PUT_CLIENTS = [16, 256], PUT_MS = 4000;

async function compareSwarms(folder: string): Promise<void> {
  const peer = new SwarmPeer(`${PEERS}/swarm3.sh`, `${folder}/swarm3`);
  const creates = { ours: [] as number[], theirs: [] as number[] };
  const failOvers: number[] = [];
  try {
    await peer.start();
    await withManagers(`${folder}/managers`, async (managers) => {
      // The first of each is not counted: both are slower on a path that is new to them.
      for (let round = -1; round < ROUNDS; round++) {
        creates.theirs.push(await measureCreates(peer.socket(0), CREATE_MS, CREATE_CLIENTS));
        creates.ours.push(
          await measureCreates(managers.socket(await managers.leader()), CREATE_MS, CREATE_CLIENTS),
        );
      }
      for (let round = 0; round < ROUNDS; round++) {
        const leader = await managers.leader();
        const other = managers.socket((leader + 1) % managers.count);
        failOvers.push(await failOver(other, () => managers.kill(leader)));
        managers.start(leader);
        await managers.waitUntil("the killed manager is back", () => managers.answers(leader));
      }
    });
    const theirs = await failOver(peer.socket(1), () => peer.kill(0));
    for (const rates of [creates.ours, creates.theirs]) rates.shift();
    const [a, b] = [median(creates.ours), median(creates.theirs)];
    console.log(
      `create, ${CREATE_CLIENTS} clients on the leader, median of ${ROUNDS}: Covey ${a.toFixed(0)}/s ` +
        `(${creates.ours.map(Math.round).join(", ")}), Docker Swarm ${b.toFixed(0)}/s ` +
        `(${creates.theirs.map(Math.round).join(", ")}), ratio ${ratio(a, b)}`,
    );
    console.log(
      `fail-over, kill -9 of the leader to the next write: Covey ${
        median(failOvers).toFixed(0)
      } ms, median of ` +
        `${failOvers.map(Math.round).join(", ")}; Docker Swarm ${theirs.toFixed(0)} ms; ` +
        `ratio ${ratio(theirs, median(failOvers))}`,
    );
  } finally {
    await peer.stop();
  }
}

async function compareEtcd(folder: string): Promise<void> {
  const script = async (command: string) => {
    const { success, stdout, stderr } = await new Deno.Command(`${PEERS}/etcd3.sh`, {
      args: [command, `${folder}/etcd3`],
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim().split(" ");
  };
  const quorum = new BareQuorum();
  try {
    const leader = await etcdLeader(await script("up"));
    await quorum.start(folder, VALUE_BYTES);
    for (const clients of PUT_CLIENTS) await comparePuts(quorum, leader, clients);
  } finally {
    await quorum.stop();
    await script("down");
  }
}

interface PutFigures extends LoadFigures {
  /** CPU time of the client for each put, microseconds. */
  clientMicros?: number;
}

async function comparePuts(quorum: BareQuorum, etcd: string, clients: number): Promise<void> {
  const value = new Uint8Array(VALUE_BYTES).fill(120);
  const base64 = btoa(String.fromCharCode(...value));
  const entry = (nth: number) => {
    const bytes = new Uint8Array(VALUE_BYTES);
    new DataView(bytes.buffer).setUint32(0, nth % KEYS);
    return bytes;
  };
  const gateway = (nth: number) => JSON.stringify({ key: btoa(`k${nth % KEYS}`), value: base64 });
  const loads: [string, () => Promise<PutFigures>][] = [
    ["Covey, callers in the leader", () => quorum.drive(clients, PUT_MS)],
    ["Covey, HTTP", async () => drivePuts(await httpPutClient(quorum.putURL, clients, entry), clients)],
    [
      "etcd, HTTP gateway",
      async () => drivePuts(await httpPutClient(`${etcd}/v3/kv/put`, clients, gateway), clients),
    ],
    ["etcd, gRPC", () => drivePuts(etcdPutClient(etcd, value, KEYS), clients)],
  ];
  console.log(`puts of ${VALUE_BYTES} bytes, ${clients} clients, best of ${ROUNDS}:`);
  const best = new Map<string, PutFigures>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of loads) {
      const figures = await run();
      if (figures.rate > (best.get(name)?.rate ?? 0)) best.set(name, figures);
    }
  }
  for (const [name, figures] of best) {
    const { clientMicros } = figures;
    const client = clientMicros === undefined
      ? ""
      : `, of the CPU ${clientMicros.toFixed(0)} µs a put for the client`;
    console.log(`  ${name.padEnd(30)} ${describeLoad(figures)}${client}`);
  }
  const [driven, http, viaGateway, viaGRPC] = [...best.values()].map(({ rate }) => rate) as number[];
  const etcdBest = Math.max(viaGateway!, viaGRPC!);
  console.log(
    `  to etcd's better one: ${ratio(driven!, etcdBest)} in the leader, ${ratio(http!, etcdBest)} by HTTP`,
  );
}

/** A load from this process; notes what the client itself costs, since it shares the cores with the servers. */
async function drivePuts(client: PutClient, clients: number): Promise<PutFigures> {
  try {
    const before = cpuUsage();
    const figures = await closedLoop(clients, PUT_MS, (nth) => client.put(nth));
    const { user, system } = cpuUsage(before);
    return { ...figures, clientMicros: (user + system) / (figures.rate * PUT_MS / 1000) };
  } finally {
    client.close();
  }
}

/** The client URL of the member that leads: the others would hand each put on. */
async function etcdLeader(urls: string[]): Promise<string> {
  for (const url of urls) {
    const response = await fetch(`${url}/v3/maintenance/status`, { method: "POST", body: "{}" });
    const { header, leader } = await response.json() as { header: { member_id: string }; leader: string };
    if (header.member_id === leader) return url;
  }
  throw new Error("Cannot find etcd's leader");
}

const folder = await Deno.makeTempDir({ prefix: "covey-bench-" });
try {
  if (Deno.args.length === 0 || Deno.args.includes("swarm")) await compareSwarms(folder);
  if (Deno.args.length === 0 || Deno.args.includes("etcd")) await compareEtcd(folder);
} finally {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
}
Deno.exit(0);
