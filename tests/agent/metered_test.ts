/** A device whose link costs by the byte: what an idle month takes, and how late a dead link is noticed. */
import assert from "node:assert/strict";
import { Agent } from "../../agent/agent.ts";
import { LocalState } from "../../agent/local_state.ts";
import { parseAgentOptions } from "../../agent/options.ts";
import { TrafficCounter } from "../../agent/traffic.ts";
import { memoryNetwork } from "../../transport/memory_network.ts";
import { seededRandom, testDispatcher, testNode, testTask } from "../manager/dispatcher/harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { testStore } from "../support/store.ts";
import { identityOf, routerOf } from "../support/transport.ts";
import { FACTS } from "./support/cluster.ts";
import { Device } from "./support/scripted_executor.ts";

const MANAGER = "10.0.0.1:2377", HOUR_MS = 3_600_000, MONTH_DAYS = 30;
/** Idle hours are all alike. */
const SEEN_HOURS = 6;

/** What a meter measures, as large as it gets. */
const METRICS = {
  CPU: 0.123,
  MemoryUsedBytes: 4e8,
  MemoryTotalBytes: 1e9,
  DiskUsedBytes: 4e9,
  DiskTotalBytes: 3e10,
  Temperature: 51.234,
  UnderVoltage: false,
  UnderVoltageSeen: true,
  Throttled: false,
  ThrottledSeen: true,
  BytesWrittenPerDay: 123_456_789,
  TrafficPerDay: { connect: 5000, connection: 1000, session: 2000, heartbeat: 17_000, assignments: 3000 },
  Clock: 1_800_000_000_000,
};

/** A manager and one agent with ten tasks, over the frames and limits of the real transport, in virtual time. */
class MeteredCluster {
  readonly clock = new FakeClock();
  readonly store = testStore({ clock: this.clock }).store;
  readonly network = memoryNetwork();
  readonly traffic = new TrafficCounter();
  readonly #folder = Deno.makeTempDirSync({ prefix: "covey-agent-test-" });
  readonly states: string[] = [];
  #stop: (() => Promise<void>) | undefined;

  async start(Labels: Record<string, string>): Promise<void> {
    const { clock, store, network, traffic } = this;
    await store.update((tx) => tx.create("nodes", testNode("n1")));
    const ids = Array.from({ length: 10 }, (_, n) => `t${n}`);
    await store.batch(ids, (tx, id) => tx.create("tasks", testTask(id, "n1")));
    const { dispatcher } = await testDispatcher(store, clock);
    const router = routerOf(dispatcher.methods());
    const listener = await network.listen({
      listen: MANAGER,
      identity: () => identityOf("m1", "swarm-manager"),
      router,
      clock,
    });
    const state = await LocalState.open(`${this.#folder}/state.kv`);
    const dialer = network.dialer({ host: "10.0.0.2", identity: () => identityOf("n1"), clock, traffic });
    const agent = new Agent({
      dialer: {
        dial(address, options) {
          traffic.connected();
          return dialer.dial(address, options);
        },
      },
      executors: [new Device().executor()],
      state,
      clock,
      random: seededRandom(),
      managers: [MANAGER],
      facts: { ...FACTS, Labels },
      metrics: () => METRICS,
      onState: (state) => this.states.push(state),
    });
    agent.start();
    this.#stop = async () => {
      await agent.stop();
      await state.close();
      await dispatcher.stop();
      const closed = listener.close();
      await this.pass(5000);
      await closed;
      await Deno.remove(this.#folder, { recursive: true });
    };
    for (let i = 0; i < 50; i++) await clock.advance(20);
  }

  async pass(ms: number, stepMs = 20_000): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await this.clock.advance(Math.min(stepMs, ms - passed));
    }
  }

  get bytes(): number {
    return Object.values(this.traffic.totals).reduce((sum, bytes) => sum + bytes, 0);
  }

  get nodeState(): string {
    return this.store.get("nodes", "n1")!.Status.State;
  }

  async stop(): Promise<void> {
    await this.#stop!();
  }
}

Deno.test("Metered link: an idle month takes less than 1 MB, with 25 new connections; what it was for is told", async () => {
  const cluster = new MeteredCluster();
  await cluster.start({ "covey.heartbeat": "1h" });
  const firstBytes = cluster.bytes;
  await cluster.pass(SEEN_HOURS * HOUR_MS);
  assert.equal(cluster.states.join(), "connecting,connected", "one session all the while");
  assert.equal(cluster.nodeState, "ready");
  const idleBytes = (cluster.bytes - firstBytes) * MONTH_DAYS * 24 / SEEN_HOURS;
  const monthBytes = idleBytes + 25 * firstBytes;
  assert.ok(monthBytes < 1_000_000, `${monthBytes} bytes: ${JSON.stringify(cluster.traffic.totals)}`);
  assert.deepEqual(Object.keys(cluster.traffic.totals).sort(), [
    "assignments",
    "connect",
    "connection",
    "heartbeat",
    "session",
    "updateTaskStatus",
  ]);
  await cluster.stop();
});

Deno.test("Metered link: a device that nobody has told to be quiet takes many times as much", async () => {
  const cluster = new MeteredCluster();
  await cluster.start({});
  const before = cluster.bytes;
  await cluster.pass(HOUR_MS / 4);
  assert.ok(4 * 24 * MONTH_DAYS * (cluster.bytes - before) > 50_000_000);
  await cluster.stop();
});

Deno.test("Metered link: one that died without a word is noticed with the next heartbeat, on a manager after three", async () => {
  const cluster = new MeteredCluster();
  await cluster.start({ "covey.heartbeat": "1h" });
  await cluster.pass(HOUR_MS);
  cluster.network.setLink("10.0.0.1", "10.0.0.2", "stalled");
  await cluster.pass(1.2 * HOUR_MS);
  assert.equal(cluster.states.at(-1), "connecting");
  assert.equal(cluster.nodeState, "ready");
  await cluster.pass(3 * HOUR_MS);
  assert.equal(cluster.nodeState, "down");
  cluster.network.setLink("10.0.0.1", "10.0.0.2", "up");
  await cluster.pass(60_000);
  assert.equal(cluster.nodeState, "ready");
  await cluster.stop();
});

Deno.test("Metered link: --metered is a label of the device, which another label may say otherwise", () => {
  const labels = (...flags: string[]) => parseAgentOptions(flags, "/").labels;
  assert.deepEqual(labels("--metered", "--label", "a=b"), { "covey.heartbeat": "1h", a: "b" });
  assert.deepEqual(labels("--metered", "--label", "covey.heartbeat=2h"), { "covey.heartbeat": "2h" });
});
