/** How devices are: as agents measure it, on the node, and for Prometheus. */
import assert from "node:assert/strict";
import { Meter, metricsOf } from "../../../agent/meter.ts";
import type { Counters, Executor } from "../../../executors/executor.ts";
import { parseCounters } from "../../../executors/process/shim.ts";
import { DAY_MS } from "../../../api/duration.ts";
import { METRICS_PERIOD_MS } from "../../../api/node_metrics.ts";
import { metricsView } from "../../../manager/http/views/metrics_view.ts";
import { presentView } from "../../../manager/http/views/node_view.ts";
import { createMockExecutor } from "../../../executors/mock/mock_executor.ts";
import { MockWorld } from "../../../executors/mock/mock_world.ts";
import { DirectConnection, openSession, testDispatcher, testNode } from "../dispatcher/harness.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";

Deno.test("Metrics: the shim's facts are read, and what is no number says nothing", () => {
  const text =
    "cpu 10 40\nmemory 1000 400\ndisk 5000 x\ntemperature 48300\nthrottled 0x50005\nwritten -1\n__proto__ 1\n";
  assert.deepEqual(parseCounters(text), {
    cpu: [10, 40],
    memory: [1000, 400],
    temperature: 48300,
    throttled: 0x50005,
  });
  assert.deepEqual(parseCounters(""), {});
});

Deno.test("Metrics: shares and rates are of the time between two looks", () => {
  const first: Counters = { cpu: [100, 1000], written: 1000 };
  const second: Counters = {
    cpu: [150, 1200],
    written: 3000,
    memory: [1000, 400],
    temperature: 48300,
    throttled: 0x5_0001,
  };
  const looks = [{ at: 0, counters: first }, { at: DAY_MS / 2, counters: second }];
  assert.deepEqual(metricsOf(looks, 7), {
    Clock: 7,
    CPU: 0.25,
    MemoryUsedBytes: 600 * 1024,
    MemoryTotalBytes: 1000 * 1024,
    Temperature: 48.3,
    UnderVoltage: true,
    UnderVoltageSeen: true,
    Throttled: false,
    ThrottledSeen: true,
    BytesWrittenPerDay: 2000 * 512 * 2,
  });
  // The counter begins anew with a boot.
  assert.equal(
    metricsOf([...looks, { at: DAY_MS, counters: { written: 5 } }], 0).BytesWrittenPerDay,
    undefined,
  );
});

Deno.test("Metrics: an agent measures rarely, and one that cannot measure goes on", async () => {
  const clock = new FakeClock();
  let looks = 0;
  const measuring = {
    ...createMockExecutor(new MockWorld(clock)),
    capabilities: ["meter"],
    measure: () =>
      ++looks === 1 ? Promise.reject(new Error("no shell")) : Promise.resolve({ temperature: 50_000 }),
  } as unknown as Executor;
  const meter = new Meter(
    clock,
    [createMockExecutor(new MockWorld(clock)), measuring],
    () => 123,
    () => ({ heartbeat: 1 }),
  );
  meter.start();
  await settle();
  assert.equal(meter.latest, undefined);
  await clock.advance(METRICS_PERIOD_MS);
  assert.deepEqual(meter.latest, { Clock: 123, Temperature: 50 });
  await clock.advance(DAY_MS);
  assert.equal(looks, 2 + DAY_MS / METRICS_PERIOD_MS);
  await meter.stop();
  assert.equal(clock.pending, 0);
});

async function cluster() {
  const clock = new FakeClock(), { store } = testStore({ clock });
  await store.update((tx) => tx.create("nodes", testNode("n1")));
  const { dispatcher } = await testDispatcher(store, clock);
  const connection = new DirectConnection(dispatcher.methods(), "n1");
  const session = await openSession(connection);
  const heartbeat = (Metrics: unknown) =>
    connection.call("dispatcher.heartbeat", { SessionID: session.last.SessionID, Metrics });
  return { clock, store, dispatcher, heartbeat };
}

Deno.test("Metrics: come with heartbeats, are checked, shown on the node and written nowhere", async () => {
  const { clock, store, dispatcher, heartbeat } = await cluster();
  const before = store.get("nodes", "n1")!.Version.Index;
  await heartbeat({
    CPU: 0.5,
    Temperature: 61.5,
    UnderVoltage: false,
    Clock: clock.now() + 90_000,
    Extra: "x",
  });
  assert.deepEqual(dispatcher.metrics("n1"), {
    MeasuredAt: "2026-01-01T00:00:00.000Z",
    CPU: 0.5,
    Temperature: 61.5,
    UnderVoltage: false,
    ClockSkewMs: 90_000,
  });
  for (const wrong of [{ CPU: "much" }, { Temperature: NaN }, { Throttled: 1 }, "x", { Clock: Infinity }]) {
    await assert.rejects(heartbeat(wrong), { code: "invalid_argument" }, JSON.stringify(wrong));
  }
  await heartbeat(undefined);
  assert.equal(store.get("nodes", "n1")!.Version.Index, before);
  const status = { members: [], isLeader: true, term: 1 } as unknown as Parameters<typeof presentView>[1];
  const node = store.get("nodes", "n1")!;
  assert.deepEqual(presentView(node, status, dispatcher.metrics("n1")).Metrics, dispatcher.metrics("n1"));
  assert.equal(presentView(node, status, undefined).Metrics, undefined);
  await store.update((tx) => tx.delete("nodes", "n1"));
  assert.equal(dispatcher.metrics("n1"), undefined);
});

Deno.test("Metrics: as Prometheus reads them, whatever a device is called, and for so many nodes at most", async () => {
  const { clock, store, dispatcher, heartbeat } = await cluster();
  await heartbeat({ CPU: 0.5, Throttled: true, Clock: clock.now() - 1500 });
  await store.update((tx) => {
    const node = tx.get("nodes", "n1")!;
    tx.update("nodes", { ...node, Description: { ...node.Description!, Hostname: 'pi"} 1\nforged{x="\\' } });
  });
  const text = metricsView(store, (id) => dispatcher.metrics(id));
  for (
    const line of [
      'covey_nodes{state="ready"} 1',
      "covey_services 0",
      "# TYPE covey_node_cpu_ratio gauge",
      'covey_node_cpu_ratio{node="n1"} 0.5',
      'covey_node_throttled{node="n1"} 1',
      'covey_node_clock_skew_seconds{node="n1"} -1.5',
      'covey_node_info{node="n1",hostname="pi\\"} 1\\nforged{x=\\"\\\\",role="worker",architecture="arm64"} 1',
    ]
  ) assert.ok(text.split("\n").includes(line), `${line} in ${text}`);
  assert.ok(!text.includes("temperature"), "what nobody measures has no series");
  assert.match(text, /^(# (HELP|TYPE) [a-z_]+ .*\n|[a-z_]+(\{.*\})? -?[\d.e+]+\n)+$/);
  await store.update((tx) => {
    for (let i = 0; i < 1100; i++) tx.create("nodes", testNode(`x${i}`));
  });
  const large = metricsView(store, (id) => dispatcher.metrics(id));
  assert.equal(large.match(/^covey_node_up/gm)!.length, 1000);
  assert.match(large, /^covey_nodes_without_series 101$/m);
});
