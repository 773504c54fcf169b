/**
 * Covey beside Docker Swarm on this machine, in one run: the same load program against both control APIs, rounds
 * alternating, and containers beside what the bare engine can start. Prints ratios, and the processor time that a request
 * takes of each manager's process: on a machine that others use too, that is what stays the same.
 *
 *     deno task bench swarm [ROUNDS=3]
 *
 * Needs Debian's docker.io and busybox-static, root, and the load program (COVEY_LOAD_PROGRAM, default
 * ../shared/bench/swarm_api.ts), which measures any server with Docker's swarm API. State is under TMPDIR; processes start
 * slower, and from round to round, where that is an ext4 without a journal (docs/decisions/0042).
 */
import { fileURLToPath } from "node:url";
import { Fleet } from "../cli/demo/fleet.ts";
import { median, ratio } from "./figures.ts";
import { SOCKET_ORIGIN } from "../api/socket_origin.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const LOAD = Deno.env.get("COVEY_LOAD_PROGRAM") ?? `${ROOT}../shared/bench/swarm_api.ts`;
const ENGINE = `${ROOT}tests/support/engine.sh`;
/** 2,000 inspects are over within 0.2 s, in which the load program has yet to be compiled: that, and no server, is measured then. */
const WRITES = 10_000;
const CLIENTS = 16, CONTAINERS = 40, PROCESSES = 400;
/** What the load program does besides, whatever it is told. */
const CREATES_ALONE = 200, LISTS = 30;
/** Of the kernel's processor times; 100 a second on every Linux that there is. */
const CLOCK_TICKS = 100;
/** A round begins once the machine is idle: what one manager does after its round must not be counted against the other. */
const LOOK_MS = 1000, MAX_BUSY = 0.05, MAX_LOOKS = 30;

async function run(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${err || out}`);
  return out!;
}

/** The rate that the load program ends with, a second. */
async function load(...args: string[]): Promise<number> {
  const text = await run(Deno.execPath(), ["run", "-A", LOAD, ...args]);
  return Number(/([\d.]+)\/s/.exec(text)?.[1]);
}

/** A manager under load. */
interface Manager {
  socket: string;
  pid: number;
}

/** What was measured of one kind of request, a figure for each round. */
interface Figures {
  /** Requests a second. */
  rates: number[];
  /** Microseconds of processor time that a request took of the manager's process. */
  cpu: number[];
}

/** Processor time that a process has had, milliseconds. */
async function cpuTime(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`),
    fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 1000 / CLOCK_TICKS;
}

/** The machine's processor time since it started, and what of it was used, in ticks: of two looks, the differences count. */
async function busyTime(): Promise<{ used: number; all: number }> {
  const [line = ""] = (await Deno.readTextFile("/proc/stat")).split("\n");
  const times = line.split(/\s+/).slice(1, 9).map(Number), all = times.reduce((a, b) => a + b);
  return { used: all - times[3]! - times[4]!, all };
}

/** Waits until the machine has nothing to do, or says that it does not become so. */
async function quiet(): Promise<void> {
  for (let look = 0; look < MAX_LOOKS; look++) {
    const before = await busyTime();
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const after = await busyTime();
    if ((after.used - before.used) / (after.all - before.all) < MAX_BUSY) return;
  }
  console.log("  (others are at work on this machine: a round begins all the same)");
}

/** Requests that stand behind a line of the load program's. */
function requestsOf(what: string): number {
  if (what === "create, 1 client") return CREATES_ALONE;
  if (what === "list") return LISTS;
  if (what.startsWith("remove")) return WRITES + CREATES_ALONE;
  return what.startsWith("read+update") ? 2 * WRITES : WRITES;
}

/** One round of writes and reads, whose figures are added to `all`. */
async function measureRound({ socket, pid }: Manager, all: Map<string, Figures>): Promise<void> {
  const args = ["run", "-A", LOAD, "writes", socket, String(WRITES), String(CLIENTS)];
  const program = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  let before = await cpuTime(pid);
  // The program prints a line as soon as it is done with a kind of request.
  for await (const line of program.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(lines())) {
    const now = await cpuTime(pid), [, label = "", rate] = /^(.+?)\s{2,}(\d+)\/s/.exec(line) ?? [];
    const what = label.replace(/^list \d+.*/, "list");
    const figures = all.get(what) ?? { rates: [], cpu: [] };
    figures.rates.push(Number(rate));
    figures.cpu.push((now - before) * 1000 / requestsOf(what));
    all.set(what, figures);
    before = now;
  }
  const { success } = await program.status;
  if (!success) throw new Error(`the load program failed on ${socket}`);
}

/** Cuts text into lines. */
function lines(): TransformStream<string, string> {
  let rest = "";
  return new TransformStream({
    transform(text, controller) {
      const whole = (rest + text).split("\n");
      rest = whole.pop()!;
      for (const line of whole) controller.enqueue(line);
    },
  });
}

async function compareWrites(ours: Manager, swarm: Manager, rounds: number): Promise<void> {
  const mine = new Map<string, Figures>(), theirs = new Map<string, Figures>();
  for (let round = 0; round < rounds; round++) {
    await quiet();
    await measureRound(swarm, theirs);
    await quiet();
    await measureRound(ours, mine);
  }
  console.log(`Control API, median of ${rounds} rounds`);
  console.log("                               Covey   Docker Swarm   ratio   processor time a request");
  for (const [what, { rates, cpu }] of mine) {
    const their = theirs.get(what)!, [a, b] = [median(rates), median(their.rates)];
    const [c, d] = [median(cpu), median(their.cpu)].map((us) => us.toFixed(0));
    console.log(
      `  ${what.padEnd(24)} ${a.toFixed(0).padStart(7)}/s ${b.toFixed(0).padStart(12)}/s   ${ratio(a, b)}` +
        `   ${c!.padStart(8)} us ${d!.padStart(8)} us`,
    );
  }
}

async function compareRollout(ours: string, engine: string, rounds: number): Promise<void> {
  const bare: number[] = [], rollout: number[] = [];
  for (let round = 0; round < rounds; round++) {
    bare.push(await load("engine", engine, String(CONTAINERS)));
    rollout.push(await load("rollout", ours, String(CONTAINERS)));
    await settled(ours);
  }
  console.log(
    `Rollout of ${CONTAINERS} containers, median of ${rounds}: ${median(rollout).toFixed(1)}/s; ` +
      `bare engine ${median(bare).toFixed(1)}/s; ratio ${ratio(median(rollout), median(bare))}`,
  );
}

async function measureProcesses(ours: string, folder: string, rounds: number): Promise<void> {
  const spec = `${folder}/processes.json`;
  await Deno.writeTextFile(
    spec,
    JSON.stringify({
      TaskTemplate: {
        Runtime: "process",
        ForceUpdate: 0,
        ProcessSpec: { Command: "/bin/sleep", Args: ["1000"], StopGracePeriod: 1e6 },
      },
      Mode: { Replicated: { Replicas: PROCESSES } },
    }),
  );
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    rates.push(await load("rollout", ours, String(PROCESSES), spec));
    await settled(ours);
  }
  const spawns = bareSpawnRate();
  console.log(
    `Rollout of ${PROCESSES} processes on one node, median of ${rounds}: ${median(rates).toFixed(0)}/s ` +
      `(${rates.map((rate) => rate.toFixed(0)).join(", ")}); bare spawns ${
        (await spawns).toFixed(0)
      }/s; ratio ${ratio(median(rates), await spawns)}`,
  );
}

async function bareSpawnRate(count = 500): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    await new Deno.Command("/bin/true", { stdin: "null", stdout: "null", stderr: "null" }).spawn().status;
  }
  return count / (performance.now() - start) * 1000;
}

/** Waits until the tasks of the last service are gone, so that the next round starts on a quiet machine. */
async function settled(socket: string): Promise<void> {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  while ((await (await fetch(`${SOCKET_ORIGIN}/tasks`, { client })).json() as unknown[]).length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  client.close();
}

/** How long after its start a new device runs its global task: the whole of process start, join, assignment and spawn. */
async function measureJoin(fleet: Fleet, devices: number): Promise<void> {
  const spec = JSON.parse(await Deno.readTextFile(`${ROOT}examples/global_process.json`));
  const { ID } = await fleet.client.post<{ ID: string }>("/services/create", spec);
  const filters = { service: [ID] };
  const running = async () =>
    (await fleet.client.get<{ Status: { State: string } }[]>("/tasks", { filters })).filter((t) =>
      t.Status.State === "running"
    ).length;
  const whole: number[] = [], fromReady: number[] = [];
  // The manager's own task first: it must not be taken for the first device's.
  while (await running() < 1) await new Promise((resolve) => setTimeout(resolve, 20));
  for (let device = 0; device < devices; device++) {
    const before = await running(), start = performance.now();
    await fleet.startAgent(`joiner-${device}`);
    let ready = 0;
    while (await running() === before) {
      const nodes = await fleet.client.get<{ Status: { State: string } }[]>("/nodes");
      if (!ready && nodes.every((node) => node.Status.State === "ready") && nodes.length === device + 2) {
        ready = performance.now();
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const end = performance.now();
    whole.push(end - start);
    fromReady.push(ready ? end - ready : 0);
  }
  console.log(
    `New device to running global process, median of ${devices}: ${
      median(whole).toFixed(0)
    } ms from the start of its agent's ` +
      `process, ${median(fromReady).toFixed(0)} ms from ready`,
  );
  await fleet.client.delete(`/services/${ID}`);
  // Programs outlive their agents: none of them may be left.
  await settled(fleet.socket);
}

const rounds = Number(Deno.args[0] ?? 3);
const folder = await Deno.makeTempDir({ prefix: "covey-bench-" });
const [engine, swarm] = [`${folder}/engine`, `${folder}/swarm`];
const fleet = new Fleet({ folder, deno: Deno.execPath(), docker: `${engine}/docker.sock` });
try {
  console.log("Starting two engines, a Docker Swarm manager and a Covey manager ...");
  await run(ENGINE, ["up", engine]);
  await run(ENGINE, ["up", swarm]);
  const peer = ["-H", `unix://${swarm}/docker.sock`, "swarm"];
  await run("docker", [...peer, "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:12377"]);
  await fleet.startManager("manager-1");
  await compareWrites(
    { socket: fleet.socket, pid: fleet.pid("manager-1") },
    { socket: `${swarm}/docker.sock`, pid: Number(await Deno.readTextFile(`${swarm}/pid`)) },
    rounds,
  );
  await run("docker", [...peer, "leave", "--force"]);
  await run(ENGINE, ["down", swarm]);
  await compareRollout(fleet.socket, `${engine}/docker.sock`, rounds);
  await measureProcesses(fleet.socket, folder, rounds);
  await measureJoin(fleet, rounds);
} finally {
  await fleet.stop();
  for (const dir of [engine, swarm]) await run(ENGINE, ["down", dir]).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await Deno.remove(folder, { recursive: true }).catch(() => {});
}
