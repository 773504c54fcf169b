/**
 * Covey beside Docker Swarm on this machine, in one run: the same load program against both control APIs, rounds
 * alternating, and containers beside what the bare engine can start. Prints ratios.
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

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const LOAD = Deno.env.get("COVEY_LOAD_PROGRAM") ?? `${ROOT}../shared/bench/swarm_api.ts`;
const ENGINE = `${ROOT}tests/support/engine.sh`;
const WRITES = 2000, CLIENTS = 16, CONTAINERS = 40, PROCESSES = 400;

async function run(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${err || out}`);
  return out!;
}

/** Rates by what was measured: `create, 16 clients` to operations a second. */
async function load(...args: string[]): Promise<Map<string, number>> {
  const text = await run(Deno.execPath(), ["run", "-A", LOAD, ...args]);
  const rates = new Map<string, number>();
  for (const line of text.trim().split("\n")) {
    const writes = /^(.+?)\s{2,}(\d+)\/s/.exec(line), rollout = /^(rollout) .* ([\d.]+)\/s$/.exec(line);
    const found = writes ?? rollout;
    if (found) rates.set(found[1]!.replace(/^list \d+/, "list"), Number(found[2]));
  }
  return rates;
}

/** The same as `load`, several times; every figure of every round. */
function gather(all: Map<string, number[]>, round: Map<string, number>): void {
  for (const [what, rate] of round) all.set(what, [...(all.get(what) ?? []), rate]);
}

async function compareWrites(ours: string, swarm: string, rounds: number): Promise<void> {
  const mine = new Map<string, number[]>(), theirs = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    gather(theirs, await load("writes", swarm, String(WRITES), String(CLIENTS)));
    gather(mine, await load("writes", ours, String(WRITES), String(CLIENTS)));
  }
  console.log(`Control API, median of ${rounds} rounds             Covey   Docker Swarm   ratio`);
  for (const [what, rates] of mine) {
    const [a, b] = [median(rates), median(theirs.get(what) ?? [])];
    console.log(
      `  ${what.padEnd(36)} ${a.toFixed(0).padStart(9)}/s ${b.toFixed(0).padStart(9)}/s   ${ratio(a, b)}`,
    );
  }
}

async function compareRollout(ours: string, engine: string, rounds: number): Promise<void> {
  const bare: number[] = [], rollout: number[] = [];
  for (let round = 0; round < rounds; round++) {
    bare.push(...(await load("engine", engine, String(CONTAINERS))).values());
    rollout.push(...(await load("rollout", ours, String(CONTAINERS))).values());
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
    rates.push(...(await load("rollout", ours, String(PROCESSES), spec)).values());
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
  while ((await (await fetch("http://covey/tasks", { client })).json() as unknown[]).length > 0) {
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
  await compareWrites(fleet.socket, `${swarm}/docker.sock`, rounds);
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
