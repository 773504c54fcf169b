/** Services of one device that wait for one another: with a manager, without, and after a reboot without a network. */
import assert from "node:assert/strict";
import { whyWait } from "../../agent/start_order.ts";
import type { TaskRecord } from "../../agent/local_state.ts";
import type { ServiceDependency } from "../../api/start_order.ts";
import type { TaskState } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";
import { testTask } from "../manager/dispatcher/harness.ts";
import { Cluster } from "./support/cluster.ts";

type Condition = ServiceDependency["Condition"];

function named(name: string, labels: Record<string, string> = {}): Partial<Task> {
  return { ServiceID: name, ServiceAnnotations: { Name: name, Labels: labels } };
}

function after(name: string, Condition: Condition, service: string): Partial<Task> {
  const DependsOn = [{ Service: service, Condition }];
  return {
    ...named(name),
    Spec: { ProcessSpec: { Command: "run" }, ForceUpdate: 0, Runtime: "process", DependsOn },
  };
}

/** A task of service `name` as others see it. */
function peer(name: string, State: TaskState, change: Partial<Task> = {}, phase = State) {
  const task = testTask(`${name}-${State}`, "n1", { ...named(name), ...change });
  const record: TaskRecord = { task, status: { ...task.Status, State }, assigned: true };
  return { task, record, phase };
}

Deno.test("Start order: compose's three conditions, each by what the device has of the service", () => {
  const why = (condition: Condition, peers: ReturnType<typeof peer>[], started = false) =>
    whyWait(testTask("web", "n1", after("web", condition, "DB")), peers, () => started);
  const none = ", which has no task of it";
  assert.equal(why("service_started", []), `waits for service DB to be started on this node${none}`);
  assert.equal(why("service_healthy", []), `waits for service DB to be healthy on this node${none}`);
  assert.equal(
    why("service_completed_successfully", [peer("other", "complete")]),
    `waits for service DB to complete on this node${none}`,
  );

  const job = { JobIteration: { Index: 1 }, DesiredState: "complete" as const };
  const cases: [Condition, ReturnType<typeof peer>[], boolean, boolean?][] = [
    ["service_started", [peer("db", "starting")], false],
    ["service_started", [peer("db", "starting")], true, true],
    ["service_started", [peer("db", "running")], true],
    ["service_started", [peer("db", "complete", job)], true],
    ["service_started", [peer("db", "failed")], false],
    ["service_healthy", [peer("db", "starting")], false, true],
    ["service_healthy", [peer("db", "failed"), peer("db", "running")], true],
    // Run again in place: to the manager it is running, here it is not.
    ["service_healthy", [peer("db", "running", {}, "preparing")], false],
    ["service_healthy", [peer("db", "running", { DesiredState: "shutdown" })], false],
    ["service_completed_successfully", [peer("db", "running", job)], false],
    ["service_completed_successfully", [peer("db", "failed", job)], false],
    ["service_completed_successfully", [peer("db", "failed", job), peer("db", "complete", job)], true],
    ["service_completed_successfully", [peer("db", "complete", job), peer("db", "running", job)], false],
    // Another run of the job has been asked for.
    [
      "service_completed_successfully",
      [peer("db", "complete", job), peer("db", "ready", { ...job, JobIteration: { Index: 2 } })],
      false,
    ],
  ];
  for (const [condition, peers, met, started] of cases) {
    const what = `${condition} ${peers.map(({ record }) => record.status.State)} ${started}`;
    assert.equal(why(condition, peers, started) === undefined, met, what);
  }
});

Deno.test("Start order: a label of the service says it too, and wins", () => {
  const task = testTask("web", "n1", {
    ...after("web", "service_healthy", "db"),
    ...named("web", { "covey.depends-on": "cache, db = service_started" }),
  });
  const missing = (peers: ReturnType<typeof peer>[]) => whyWait(task, peers, () => false);
  assert.match(missing([peer("db", "running")])!, /waits for service cache to be started/);
  assert.match(missing([peer("cache", "running")])!, /waits for service db to be started/);
  assert.equal(missing([peer("cache", "running"), peer("db", "running")]), undefined);
});

Deno.test("Start order: a task is made ready and waits, says for what, and starts once that is healthy", async () => {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  await cluster.assign("web", after("web", "service_healthy", "db"));
  assert.equal(cluster.status("web").State, "ready");
  const words = "waits for service db to be healthy on this node";
  assert.equal(cluster.status("web").Message, `${words}, which has no task of it`);
  cluster.device.program("db").blocks.start = new Promise((resolve) => cluster.clock.setTimer(5000, resolve));
  await cluster.assign("db", named("db"));
  assert.equal(cluster.status("db").State, "starting");
  assert.equal(cluster.status("web").Message, words);
  assert.deepEqual(cluster.device.running, []);
  await cluster.clock.advance(5000);
  await cluster.settle();
  assert.deepEqual(cluster.device.running.sort(), ["db", "web"]);
  assert.equal(cluster.status("web").State, "running");
  // What happens to the one afterwards is not the other's business.
  await cluster.want("db", "shutdown");
  assert.deepEqual(cluster.device.running, ["web"]);
  await cluster.stop();
});

Deno.test("Start order: a job comes first, and one that is not wanted any more does not start while it waits", async () => {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  const job = { ...named("migrate"), JobIteration: { Index: 0 }, DesiredState: "complete" as const };
  await cluster.assign("migrate", job);
  await cluster.assign("web", after("web", "service_completed_successfully", "migrate"));
  await cluster.assign("gone", after("gone", "service_completed_successfully", "migrate"));
  assert.equal(cluster.status("web").Message, "waits for service migrate to complete on this node");
  await cluster.want("gone", "shutdown");
  assert.equal(cluster.status("gone").State, "shutdown");
  cluster.device.program("migrate").exit(0);
  await cluster.settle();
  assert.deepEqual(cluster.device.running, ["web"]);
  await cluster.stop();
});

Deno.test("Start order: holds after a reboot without a network too, and not for an agent that finds its tasks", async () => {
  const cluster = await Cluster.start();
  await cluster.startAgent("boot-1");
  const job = { ...named("migrate"), JobIteration: { Index: 0 }, DesiredState: "complete" as const };
  await cluster.assign("migrate", job);
  cluster.device.program("migrate").exit(0);
  await cluster.assign("db", { ...after("db", "service_completed_successfully", "migrate") });
  await cluster.assign("web", after("web", "service_healthy", "db"));
  assert.deepEqual(cluster.device.running.sort(), ["db", "web"]);

  await cluster.stopAgent();
  await cluster.startAgent("boot-1");
  assert.deepEqual(cluster.device.running.sort(), ["db", "web"]);
  const starts = (id: string) => cluster.device.program(id).count("start");
  assert.deepEqual([starts("db"), starts("web")], [1, 1]);

  cluster.stopManager();
  await cluster.stopAgent();
  cluster.device.reboot();
  cluster.device.program("db").blocks.start = new Promise((resolve) => cluster.clock.setTimer(9000, resolve));
  await cluster.startAgent("boot-2");
  assert.deepEqual(cluster.device.running, [], "the job has run, web waits for db");
  assert.equal(starts("migrate"), 1);
  await cluster.clock.advance(9000);
  await cluster.settle();
  assert.deepEqual(cluster.device.running.sort(), ["db", "web"]);
  await cluster.stop();
});
