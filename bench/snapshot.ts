/**
 * A manager joins three others whose state is large, while clients write: how long that takes, what it does to their
 * writes, and whether anybody was elected meanwhile. With a steady number of writes, and with as many as the managers
 * take, so that everything on this machine competes for its processors and its disk. A manager has a machine of its own
 * elsewhere; the first time that is imitated: what the new one stores is in memory, and it runs when no other wants to.
 * The figures behind `processor` are of the managers in their order, the new one last.
 *
 *     deno task bench snapshot [MEGABYTES=200] [CLIENTS=16] [STEADY=100]
 *
 * Needs root, for network namespaces and a mount.
 */
import { Managers } from "../tests/chaos/managers.ts";
import { PrivateNetwork } from "../tests/chaos/private_network.ts";
import { median } from "./figures.ts";
import { HTTPConnection } from "./quorum/http_connection.ts";

const megabytes = Number(Deno.args[0] ?? 200), clients = Number(Deno.args[1] ?? 16);
/** Writes a second of the steady load. */
const steady = Number(Deno.args[2] ?? 100);
const OLD = 3, NEW = 3, BASELINE_MS = 20_000, FILLERS = 4;
/** Checkpoints of what fills the state are written by then. */
const SETTLE_MS = 5_000;
/** Before a command: it gets what all others leave of the processors. */
const IDLY = ["chrt", "--idle", "0"];
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

type Load = (isOver: () => boolean) => Promise<number[]>;

/** Writes as fast as the answers come until `isOver`; milliseconds that each write took. */
function saturating(socket: string): Load {
  return (isOver) =>
    eachClient(socket, async (connection, took) => {
      while (!isOver()) took.push(await timeOf(connection, performance.now()));
    });
}

/** Writes at `steady` moments a second until `isOver`; milliseconds from each moment to the answer. */
function paced(socket: string): Load {
  return (isOver) => {
    const begin = performance.now();
    let nth = 0;
    return eachClient(socket, async (connection, took) => {
      while (!isOver()) {
        const moment = begin + nth++ * 1000 / steady;
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, moment - performance.now())));
        took.push(await timeOf(connection, moment));
      }
    });
  };
}

async function timeOf(connection: HTTPConnection, since: number): Promise<number> {
  await create(connection, "small");
  return performance.now() - since;
}

async function eachClient(
  socket: string,
  write: (connection: HTTPConnection, took: number[]) => Promise<void>,
): Promise<number[]> {
  const took: number[] = [];
  await Promise.all(Array.from({ length: clients }, async () => {
    const connection = await connect(socket);
    await write(connection, took);
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
  for (let index = 0; index < OLD + NEW; index++) {
    const log = await Deno.readTextFile(`${folder}/m${index}.log`).catch(() => "");
    count += log.split("This manager leads").length - 1;
  }
  return count;
}

/** Seconds of processor time that a process has taken, of all its threads. */
async function processorTime(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  // User and system time in ticks of 10 ms, the 14th and 15th field; the second, in parentheses, may hold blanks.
  const [user, system] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13);
  return (Number(user) + Number(system)) / 100;
}

/** Runs `load`, and says what it saw and what share of one processor each of `pids` took meanwhile. */
async function measured(load: () => Promise<number[]>, pids: () => number[]): Promise<string> {
  const start = performance.now(), all = pids(), before = await Promise.all(all.map(processorTime));
  const took = await load(), seconds = (performance.now() - start) / 1000;
  const after = await Promise.all(pids().map(processorTime));
  const shares = after.map((time, nth) => `${((time - (before[nth] ?? 0)) / seconds * 100).toFixed(0)} %`);
  return `${described(took, seconds * 1000)}; processor ${shares.join(", ")}`;
}

/** Shows what `load` sees for a while, and then while manager `index` joins, started `by` something. */
async function compare(managers: Managers, index: number, load: Load, by?: string[]): Promise<void> {
  const end = performance.now() + BASELINE_MS;
  const pids = () =>
    Array.from({ length: OLD + NEW }, (_, nth) => managers.pid(nth)).filter((pid) => pid !== undefined);
  console.log(`  nobody joins:          ${await measured(() => load(() => performance.now() > end), pids)}`);
  const start = performance.now();
  let joined = false;
  const during = measured(() => load(() => joined), pids);
  managers.start(index, by);
  await managers.waitUntil("the new manager has joined", () => managers.isMember(index)).finally(() =>
    joined = true
  );
  const seconds = (performance.now() - start) / 1000;
  console.log(`  one joins, in ${seconds.toFixed(1).padStart(4)} s:  ${await during}`);
}

function run(program: string, ...args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args }).outputSync();
  if (!success) throw new Error(`Cannot run ${program}: ${new TextDecoder().decode(stderr)}`);
}

/** Gives what a manager will store a place in memory; returns how to take it away again. */
function keepInMemory(path: string): () => void {
  Deno.mkdirSync(path, { mode: 0o700 });
  run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", path);
  return () => run("umount", path);
}

const folder = await Deno.makeTempDir({ prefix: "covey-bench-" });
const network = new PrivateNetwork(OLD + NEW);
const managers = new Managers(network, OLD + NEW, folder);
const unmount = keepInMemory(managers.stateFolder(OLD));
try {
  await managers.startAll(OLD);
  const socket = managers.socket(0);
  console.log(`Writing ${megabytes} MB of state to three managers ...`);
  await fill(socket, Math.ceil(megabytes * 1e6 / FILLER_LENGTH));
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const electedBefore = await elections(folder);
  console.log(`${steady} writes a second, the new manager as on a machine of its own`);
  await compare(managers, OLD, paced(socket), IDLY);
  const shared = `all on ${navigator.hardwareConcurrency} processors and one disk`;
  console.log(`${steady} writes a second, ${shared}`);
  await compare(managers, OLD + 1, paced(socket));
  console.log(`${clients} clients write as fast as they can, ${shared}`);
  await compare(managers, OLD + 2, saturating(socket));
  console.log(`Elections meanwhile: ${await elections(folder) - electedBefore}`);
} finally {
  await managers.killAll();
  network.remove();
  unmount();
  await Deno.remove(folder, { recursive: true });
}
Deno.exit(0);
