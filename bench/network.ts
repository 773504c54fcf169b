/**
 * The cluster's networks beside Docker Swarm's on this machine, in one run: two hosts each, in network namespaces, rounds
 * alternating.
 *
 *     deno task bench network [ROUNDS=5]
 *
 * - one flow of TCP between containers of two hosts, over our overlay and over Docker's
 * - requests through a service's address, and straight to its task: over connections that HTTP clients keep, and with one
 *   for each
 * - how long after its health check a task gets its first request, and how many after its stop signal
 *
 * Needs root, and Debian's docker.io, busybox-static, iproute2, nftables, curl and iperf3. Docker's service addresses need IPVS, so
 * only ours are measured.
 */
import { NetworkHosts, noNetworkHosts } from "../tests/support/network_hosts.ts";
import { median, ratio } from "./figures.ts";
import { fileURLToPath } from "node:url";

const SUBNET = "10.50.0.0/24", PORT = 8000;
const SECONDS = 3, CLIENTS = 16;
/** Requests of a turn, some tenths of a second, and turns of either address in a round. */
const REQUESTS = 1000, KEPT_REQUESTS = 4000, TURNS = 10;
const SERVER = fileURLToPath(new URL("./network/server.ts", import.meta.url));
const LOAD = fileURLToPath(new URL("./network/load.ts", import.meta.url));
/**
 * Notes when each request comes, and when the stop signal does; healthy once a file is there. It goes on answering for a
 * while, so that what comes late is seen.
 */
const TASK = `trap 'cat /proc/uptime >/stopped; sleep 6; exit' TERM
echo 'cat /proc/uptime >>/asked; echo ok' >/answer
nc -ll -p 80 -e sh /answer &
while :; do sleep 0.1; done`;

/** What both clusters are: two hosts with an engine each, and who is asked for services. */
interface Cluster {
  hosts: NetworkHosts;
  ask(...args: string[]): string;
}

function pid({ hosts }: Cluster, host: number, service: string): string {
  return hosts.docker(host, "inspect", "-f", "{{.State.Pid}}", hosts.container(host, service)).trim();
}

/** A command inside the network of a container. */
function inside(pid: string, ...command: string[]): Deno.Command {
  return new Deno.Command("nsenter", { args: ["-t", pid, "-n", ...command], stdout: "piped" });
}

async function output(command: Deno.Command): Promise<string> {
  const { success, stdout } = await command.output();
  const text = new TextDecoder().decode(stdout);
  if (!success) throw new Error(`a program failed: ${text}`);
  return text;
}

async function addressIn(pid: string): Promise<string> {
  const text = await output(inside(pid, "ip", "-4", "-o", "addr"));
  return /inet (10\.50\.0\.\d+)\//.exec(text)![1]!;
}

/** A network with a container on each host. */
async function join(cluster: Cluster): Promise<void> {
  const { hosts, ask } = cluster;
  ask("network", "create", "-d", "overlay", "--subnet", SUBNET, "net");
  const flags = ["--mode", "global", "--network", "net", "--endpoint-mode", "dnsrr", "--detach"];
  ask(
    "service",
    "create",
    "--name",
    "pair",
    "--no-resolve-image",
    ...flags,
    "busybox:local",
    "sleep",
    "100000",
  );
  await hosts.until("both run", () => [0, 1].every((host) => pid(cluster, host, "pair") !== ""));
}

/** Bits a second of one flow from the first host's container to the second's. */
async function flow(cluster: Cluster): Promise<number> {
  const [from, to] = [0, 1].map((host) => pid(cluster, host, "pair")) as [string, string];
  const server = inside(to, "iperf3", "-s", "-1").spawn(), address = await addressIn(to);
  await cluster.hosts.until("the server listens", () => {
    const { stdout } = new Deno.Command("nsenter", { args: ["-t", to, "-n", "ss", "-ltn"] }).outputSync();
    return new TextDecoder().decode(stdout).includes(":5201");
  });
  const text = await output(inside(from, "iperf3", "-c", address, "-t", String(SECONDS), "-J"));
  await server.output();
  return JSON.parse(text).end.sum_received.bits_per_second;
}

async function compareFlows(ours: Cluster, theirs: Cluster, rounds: number): Promise<void> {
  const mine: number[] = [], others: number[] = [];
  for (let round = 0; round < rounds; round++) {
    others.push(await flow(theirs));
    mine.push(await flow(ours));
  }
  const gigabits = (values: number[]) => values.map((value) => (value / 1e9).toFixed(2)).join(", ");
  console.log(
    `One flow between two hosts, Gbit/s: Covey ${gigabits(mine)}; Docker Swarm ${gigabits(others)}`,
  );
  console.log(
    `  median ${gigabits([median(mine)])} and ${gigabits([median(others)])}, ratio ${
      ratio(median(mine), median(others))
    }`,
  );
}

async function compareAddresses(cluster: Cluster, rounds: number): Promise<void> {
  const { hosts, ask } = cluster;
  const flags = [
    "--network",
    "net",
    "--no-resolve-image",
    "--detach",
    "--constraint",
    "node.hostname==host1",
  ];
  ask("service", "create", "--name", "one", ...flags, "busybox:local", "sleep", "100000");
  await hosts.until("the task runs", () => hosts.container(1, "one") !== "");
  const to = pid(cluster, 1, "one"), from = pid(cluster, 0, "pair"), straight = await addressIn(to);
  const virtual = ask("service", "inspect", "one", "-f", "{{(index .Endpoint.VirtualIPs 0).Addr}}").split(
    "/",
  )[0]!;
  const deno = [Deno.execPath(), "run", "-A", "--no-config", "--quiet"];
  const server = inside(to, ...deno, SERVER, String(PORT)).spawn();
  const ping = (address: string) =>
    inside(from, "curl", "-s", "-m", "2", `http://${address}:${PORT}/`).outputSync().success;
  await hosts.until("it answers", () => ping(straight) && ping(virtual));
  for (
    const [how, requests, port] of [["kept", KEPT_REQUESTS, PORT + 1], ["each", REQUESTS, PORT]] as const
  ) {
    const words = [how, straight, virtual, port, requests, CLIENTS, rounds * TURNS].map(String);
    const [byTask, byAddress]: [number[], number[]] = JSON.parse(
      await output(inside(from, ...deno, LOAD, ...words)),
    );
    const shown = (values: number[]) => {
      const sorted = values.toSorted((a, b) => a - b);
      return `${median(values).toFixed(0)} (${sorted[0]!.toFixed(0)} to ${sorted.at(-1)!.toFixed(0)})`;
    };
    console.log(`Requests a second, ${how === "kept" ? "connections kept" : "a connection each"}:`);
    console.log(
      `  median by the service's address ${shown(byAddress)}, straight to its task ${shown(byTask)}, ratio ${
        ratio(median(byAddress), median(byTask))
      }`,
    );
  }
  server.kill("SIGTERM");
  await server.output();
}

/** One connection after the other to an address from a container until it is ended; how many failed. */
class Questions {
  failed = 0;
  asked = 0;
  #isOver = false;
  readonly #done: Promise<void>;

  constructor(pid: string, address: string) {
    this.#done = this.#run(pid, address);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #run(pid: string, address: string): Promise<void> {
    while (!this.#isOver) {
      const { stdout } = await inside(pid, "busybox", "nc", "-w", "2", address, "80").output();
      this.asked++;
      if (new TextDecoder().decode(stdout) !== "ok\n") this.failed++;
    }
  }
}

/** Milliseconds from a task's becoming healthy to its first request, and requests after its stop signal; a figure each round. */
async function measureTurns(cluster: Cluster, rounds: number): Promise<void> {
  const { hosts, ask } = cluster, from = pid(cluster, 0, "pair");
  const health = ["--health-cmd", "test -e /well", "--health-interval", "200ms", "--health-retries", "1000"];
  const flags = ["--network", "net", "--no-resolve-image", "--detach", "--mode", "global", ...health];
  ask("service", "create", "--name", "turns", ...flags, "busybox:local", "sh", "-c", TASK);
  await hosts.until("both are there", () => [0, 1].every((host) => hosts.container(host, "turns") !== ""));
  hosts.inside(0, "turns", "touch /well");
  const virtual = ask("service", "inspect", "turns", "-f", "{{(index .Endpoint.VirtualIPs 0).Addr}}").split(
    "/",
  )[0]!;
  const first: number[] = [], late: number[] = [];
  let asked = 0, failed = 0;
  await hosts.until(
    "one serves",
    () =>
      new TextDecoder().decode(
        inside(from, "busybox", "nc", "-w", "1", virtual, "80").outputSync().stdout,
      ) === "ok\n",
  );
  for (let round = 0; round < rounds; round++) {
    await hosts.until("there is one that is not well yet", () => hosts.container(1, "turns") !== "");
    const container = hosts.container(1, "turns"), questions = new Questions(from, virtual);
    await hosts.until("it has its own health", () => healthyAt(hosts, container) === undefined);
    hosts.docker(1, "exec", container, "touch", "/well");
    await hosts.until(
      "it is well and asked",
      () => healthyAt(hosts, container) !== undefined && timesIn(hosts, container, "/asked").length > 5,
    );
    first.push(timesIn(hosts, container, "/asked")[0]! - healthyAt(hosts, container)!);
    // Another task follows it, and is not well.
    ask("node", "update", "--availability", "drain", "host1");
    await hosts.until("it is told to stop", () => timesIn(hosts, container, "/stopped").length > 0);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const [stopped = 0] = timesIn(hosts, container, "/stopped");
    late.push(timesIn(hosts, container, "/asked").filter((time) => time > stopped).length);
    ask("node", "update", "--availability", "active", "host1");
    await hosts.until(
      "it is gone",
      () => hosts.docker(1, "ps", "-q", "--no-trunc").includes(container) === false,
    );
    await questions.end();
    asked += questions.asked;
    failed += questions.failed;
  }
  console.log(`From healthy to the first request, ms: ${first.map((ms) => ms.toFixed(0)).join(", ")}`);
  console.log(`Requests after the stop signal: ${late.join(", ")}; ${failed} of ${asked} requests failed`);
}

/** Milliseconds; undefined while it is not healthy. */
function healthyAt(hosts: NetworkHosts, container: string): number | undefined {
  const text = hosts.docker(1, "inspect", "-f", "{{json .State.Health}}", container);
  const { Log = [] }: { Log?: { End: string; ExitCode: number }[] } = JSON.parse(text) ?? {};
  const end = Log.find(({ ExitCode }) => ExitCode === 0)?.End;
  return end === undefined ? undefined : Date.parse(end);
}

/** A busybox tells no fractions of a second but by the time since the machine started. */
function timesIn(hosts: NetworkHosts, container: string, file: string): number[] {
  const text = hosts.docker(1, "exec", container, "sh", "-c", `cat ${file} 2>/dev/null || :`);
  const started = Date.now() - Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
  return text.split("\n").filter(Boolean).map((line) => started + Number(line.split(" ")[0]) * 1000);
}

const rounds = Number(Deno.args[0] ?? 5), why = noNetworkHosts();
if (why !== "") throw new Error(`Cannot measure networks: ${why}`);
const mine = new NetworkHosts(2), others = new NetworkHosts(2);
const ours: Cluster = { hosts: mine, ask: (...args) => mine.swarm(...args) };
const theirs: Cluster = { hosts: others, ask: (...args) => others.docker(0, ...args) };
try {
  console.log("Starting four engines, a Docker Swarm of two nodes and a Covey cluster of two ...");
  for (const hosts of [mine, others]) await hosts.startEngines();
  theirs.ask("swarm", "init", "--advertise-addr", others.network.address(0));
  const token = theirs.ask("swarm", "join-token", "-q", "worker").trim();
  others.docker(1, "swarm", "join", "--token", token, `${others.network.address(0)}:2377`);
  await mine.startNodes();
  for (const cluster of [theirs, ours]) await join(cluster);
  await compareFlows(ours, theirs, rounds);
  await compareAddresses(ours, rounds);
  await measureTurns(ours, rounds);
} finally {
  await mine.remove();
  await others.remove();
}
