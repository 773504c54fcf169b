/**
 * A fleet whose manager is killed and comes back: real agents over real connections, all of them in this process, and a real
 * manager. `COVEY_TEST_FLEET=1000` is how many.
 */
import assert from "node:assert/strict";
import { Agent } from "../../agent/agent.ts";
import { identityDialer, ownIdentity } from "../../agent/identity.ts";
import { LocalState } from "../../agent/local_state.ts";
import { TrafficCounter } from "../../agent/traffic.ts";
import { systemClock } from "../../api/clock.ts";
import { systemRandom } from "../../api/random.ts";
import type { NodeView, SwarmView } from "../../cli/api_types.ts";
import { ControlClient } from "../../cli/client.ts";
import { ClockFloor } from "../../security/clock_floor.ts";
import { FACTS } from "../agent/support/cluster.ts";
import { eventually, freePort, inFolder, Program, start } from "../support/programs.ts";

const AGENTS = Number(Deno.env.get("COVEY_TEST_FLEET") ?? 30), isLong = AGENTS > 100;
/** Joins under way at once. */
const AT_ONCE = 16;
const PROBE_MS = 200, LIMIT_MS = 240_000;

const say = (words: string) => isLong && console.log(words);

/** An agent in this process. It has no tasks, and so nothing on a disk but its identity. */
async function startAgent(folder: string, address: string, token: string) {
  const clock = new ClockFloor({ clock: systemClock }), abort = new AbortController();
  await Deno.mkdir(folder);
  const identity = await ownIdentity({
    clock,
    random: systemRandom,
    folder,
    managers: () => [address],
    signal: abort.signal,
    token,
  });
  const agent = new Agent({
    dialer: identityDialer(identity, clock, new TrafficCounter()),
    executors: [],
    state: await LocalState.load(noDisk()),
    clock,
    random: systemRandom,
    managers: [address],
    facts: { ...FACTS, Hostname: folder.slice(folder.lastIndexOf("/") + 1) },
  });
  agent.start();
  const stop = async () => {
    await agent.stop();
    identity.stop();
    abort.abort();
  };
  return { agent, stop };
}

/** A thousand databases are what a test's machine has no files for. */
function noDisk(): Deno.Kv {
  const nothing = () => Promise.resolve({ ok: true });
  const atomic = { set: () => atomic, delete: () => atomic, commit: nothing };
  const none = {
    async *list() {},
    get: () => Promise.resolve({ value: null }),
    atomic: () => atomic,
    close: () => {},
  };
  return none as unknown as Deno.Kv;
}

function startManager(folder: string, address: string, api: string): Program {
  const flags = [
    "--state-dir",
    `${folder}/manager`,
    "--listen",
    address,
    "--advertise",
    address,
    "--api",
    api,
  ];
  return start("manager", "--no-agent", ...flags);
}

/** Asks the manager something small all the while: how often it answered, and how long the slowest answer took. */
class Probe {
  readonly #client: ControlClient;
  readonly #done: Promise<void>;
  #stopped = false;
  answers = 0;
  slowestMs = 0;

  constructor(api: string) {
    this.#client = new ControlClient(`unix://${api}`);
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    this.#client.close();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const began = performance.now();
      await this.#client.get("/swarm");
      this.answers++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
    }
  }
}

async function untilReady(api: string, count: number): Promise<number> {
  const client = new ControlClient(`unix://${api}`), began = performance.now();
  let ready = 0;
  const look = async () => {
    const nodes = await client.get<NodeView[]>("/nodes");
    ready =
      nodes.filter(({ Status, Description }) =>
        Status.State === "ready" && Description?.Hostname?.startsWith("device-")
      ).length;
    if (ready < count) await new Promise((resolve) => setTimeout(resolve, 500));
    return ready === count;
  };
  await eventually(`${count} devices are ready`, look, () => `${ready} are`, LIMIT_MS);
  client.close();
  return (performance.now() - began) / 1000;
}

Deno.test(`Fleet: when a killed manager is back all its devices come back at once, and it answers all the while`, () =>
  inFolder(async (folder) => {
    const address = `127.0.0.1:${freePort()}`, api = `${folder}/api.sock`;
    let manager = startManager(folder, address, api);
    await manager.says(/serves at/);
    const client = new ControlClient(`unix://${api}`);
    const { JoinTokens: { Worker } } = await client.get<SwarmView>("/swarm");
    client.close();
    const agents: Awaited<ReturnType<typeof startAgent>>[] = [];
    try {
      let next = 0;
      await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (next < AGENTS) agents.push(await startAgent(`${folder}/device-${next++}`, address, Worker));
      }));
      say(
        `${AGENTS} devices have joined, and are ready ${(await untilReady(api, AGENTS)).toFixed(1)} s later`,
      );
      await manager.end("SIGKILL");
      await eventually(
        "all agents have noticed",
        () => Promise.resolve(agents.every(({ agent }) => agent.state === "connecting")),
      );
      manager = startManager(folder, address, api);
      await manager.says(/serves at/);
      const probe = new Probe(api);
      const connected = () => agents.filter(({ agent }) => agent.state === "connected").length;
      const began = performance.now();
      await eventually(
        "all are connected",
        () => Promise.resolve(connected() === AGENTS),
        () => `${connected()} are`,
        LIMIT_MS,
      );
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      await untilReady(api, AGENTS);
      await probe.stop();
      assert.ok(probe.answers > 0);
      const resident = /VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${manager.pid}/status`))?.[1];
      say(
        `all connected ${seconds} s after the manager served; it answered ${probe.answers} requests meanwhile, the slowest in ` +
          `${probe.slowestMs.toFixed(0)} ms, and has ${resident} kB resident`,
      );
    } finally {
      await Promise.all(agents.map(({ stop }) => stop()));
      await manager.end("SIGKILL");
    }
  }));
