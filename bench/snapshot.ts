/**
 * A fourth manager joins three whose state is large, while clients write: how long that takes, what it does to their
 * writes, and whether anybody was elected meanwhile.
 *
 *     deno task bench snapshot [MEGABYTES=200] [CLIENTS=16]
 *
 * Needs root, for network namespaces.
 */
import { Managers } from "../tests/chaos/managers.ts";
import { PrivateNetwork } from "../tests/chaos/private_network.ts";
import { median } from "./figures.ts";
import { HTTPConnection } from "./quorum/http_connection.ts";

const megabytes = Number(Deno.args[0] ?? 200), clients = Number(Deno.args[1] ?? 16);
const OLD = 3, BASELINE_MS = 10_000, FILLERS = 4;
/** Characters of a service that fills the state; far below what one entry of the log may have. */
const FILLER_LENGTH = 100_000;

let made = 0;

async function create(connection: HTTPConnection, label: string): Promise<void> {
  const { status, body } = await connection.post(JSON.stringify({
    Name: `bench-${made++}`,
    Labels: { label },
    TaskTemplate: { ContainerSpec: { Image: "busybox:local" } },
    Mode: { Replicated: { Replicas: 0 } },
  }));
  if (status !== 201) throw new Error(`Cannot create a service: ${status} ${body}`);
}

function connect(path: string): Promise<HTTPConnection> {
  return HTTPConnection.open({ transport: "unix", path }, "/v1.41/services/create", "application/json");
}

/** Makes `count` services, several at once. */
async function fill(socket: string, count: number): Promise<void> {
  const label = "x".repeat(FILLER_LENGTH);
  await Promise.all(Array.from({ length: FILLERS }, async (_, filler) => {
    const connection = await connect(socket);
    for (let nth = filler; nth < count; nth += FILLERS) await create(connection, label);
    connection.close();
  }));
}

/** Writes until `isOver`; milliseconds that each write took. */
async function writeUntil(socket: string, isOver: () => boolean): Promise<number[]> {
  const took: number[] = [];
  await Promise.all(Array.from({ length: clients }, async () => {
    const connection = await connect(socket);
    while (!isOver()) {
      const start = performance.now();
      await create(connection, "small");
      took.push(performance.now() - start);
    }
    connection.close();
  }));
  return took;
}

function described(took: number[], ms: number): string {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(1);
  return `${(took.length / ms * 1000).toFixed(0)}/s, median ${median(took).toFixed(1)} ms, p99 ${
    at(0.99)
  } ms, ` +
    `longest ${at(1)} ms`;
}

/** How often one of the managers has become the leader, by their logs. */
async function elections(folder: string): Promise<number> {
  let count = 0;
  for (let index = 0; index <= OLD; index++) {
    const log = await Deno.readTextFile(`${folder}/m${index}.log`).catch(() => "");
    count += log.split("This manager leads").length - 1;
  }
  return count;
}

const folder = await Deno.makeTempDir({ prefix: "covey-bench-" });
const network = new PrivateNetwork(OLD + 1);
const managers = new Managers(network, OLD + 1, folder);
try {
  await managers.startAll(OLD);
  const socket = managers.socket(0);
  console.log(`Writing ${megabytes} MB of state to three managers ...`);
  await fill(socket, Math.ceil(megabytes * 1e6 / FILLER_LENGTH));
  const electedBefore = await elections(folder);

  const baseEnd = performance.now() + BASELINE_MS;
  const before = await writeUntil(socket, () => performance.now() > baseEnd);
  console.log(`${clients} clients write, nobody joins:  ${described(before, BASELINE_MS)}`);

  const start = performance.now();
  let joined = false;
  managers.start(OLD);
  const [during] = await Promise.all([
    writeUntil(socket, () => joined),
    managers.waitUntil("the fourth manager has joined", () => managers.isMember(OLD)).finally(() =>
      joined = true
    ),
  ]);
  const ms = performance.now() - start;
  console.log(`A fourth one joins, in ${(ms / 1000).toFixed(1)} s:     ${described(during, ms)}`);
  console.log(`Elections meanwhile: ${await elections(folder) - electedBefore}`);
} finally {
  await managers.killAll();
  network.remove();
  await Deno.remove(folder, { recursive: true });
}
Deno.exit(0);
