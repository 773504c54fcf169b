/** A device that swaps a task for its successor by itself: every way it can end, with a manager and without. */
import assert from "node:assert/strict";
import type { TaskSwap } from "../../api/swap.ts";
import type { Task } from "../../api/task.ts";
import type { TaskState } from "../../api/task_state.ts";
import { Cluster } from "./support/cluster.ts";

const SECOND_NS = 1e9;
const SWAP: TaskSwap = { With: "old", Deadline: 60 * SECOND_NS, Monitor: 10 * SECOND_NS };

function spec(version: string): Task["Spec"] {
  return { ProcessSpec: { Command: "run", Args: [version] }, ForceUpdate: 0, Runtime: "process" };
}

async function assignNew(
  cluster: Cluster,
  change: Partial<Task> & { State?: TaskState } = {},
  id = "new",
): Promise<void> {
  await cluster.assign(id, { Spec: spec("v2"), Swap: SWAP, DesiredState: "ready", ...change });
}

/** A device on which `old` runs and `new` is ready to take its place. */
async function prepared(): Promise<Cluster> {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  await cluster.assign("old", { Spec: spec("v1") });
  await assignNew(cluster);
  assert.equal(cluster.status("new").State, "ready");
  assert.deepEqual(cluster.device.running, ["old"]);
  return cluster;
}

/** The swap is under way: `old` rests and `new` runs. */
async function begun(): Promise<Cluster> {
  const cluster = await prepared();
  await cluster.want("new", "running");
  assert.deepEqual(cluster.device.running, ["new"]);
  return cluster;
}

async function later(cluster: Cluster, ms: number): Promise<void> {
  await cluster.clock.advance(ms);
  await cluster.settle();
}

Deno.test("Swap: the old task rests, is kept until the new one has proved itself, and then ends", async () => {
  const cluster = await begun();
  assert.equal(cluster.status("new").State, "running");
  assert.equal(cluster.status("old").State, "running", "it is wanted until then");
  assert.match(cluster.status("old").Message, /stopped for its successor/);
  await later(cluster, 9_000);
  assert.equal(cluster.status("old").State, "running");
  await later(cluster, 1_000);
  assert.equal(cluster.status("old").State, "shutdown");
  assert.equal(cluster.status("new").State, "running");
  assert.deepEqual(cluster.device.running, ["new"]);
  await cluster.stop();
});

Deno.test("Swap: an old task that somebody starts while it rests is stopped, by the next agent too", async () => {
  const cluster = await begun();
  cluster.device.program("old").startByHand();
  await cluster.settle();
  assert.deepEqual(cluster.device.running, ["new"]);
  await cluster.stopAgent();
  await cluster.startAgent();
  cluster.device.program("old").startByHand();
  await cluster.settle();
  assert.deepEqual(cluster.device.running, ["new"]);
  await later(cluster, 1_000);
  cluster.device.program("new").exit(1);
  await later(cluster, 1_000);
  assert.deepEqual(cluster.device.running, ["old"], "it is what the device goes back to all the same");
  await cluster.stop();
});

Deno.test("Swap: a new task that ends within its monitor period has failed, and the old one runs again", async () => {
  for (const exitCode of [1, 0]) {
    const cluster = await begun();
    await later(cluster, 5_000);
    cluster.device.program("new").exit(exitCode);
    await cluster.settle();
    const { State, Swap } = cluster.status("new");
    assert.deepEqual([State, Swap?.Kind], ["failed", "rolled_back"]);
    assert.equal(cluster.status("old").State, "running");
    assert.deepEqual(cluster.device.running, ["old"]);
    await cluster.stop();
  }
});

Deno.test("Swap: a new task that does not get healthy within its deadline is stopped, and the old one runs again", async () => {
  const cluster = await prepared();
  cluster.device.program("new").blocks.start = new Promise(() => {});
  await cluster.want("new", "running");
  assert.deepEqual(cluster.device.running, []);
  await later(cluster, 59_000);
  assert.deepEqual(cluster.device.running, []);
  await later(cluster, 2_000);
  assert.deepEqual(cluster.device.running, ["old"]);
  const { State, Err, Swap } = cluster.status("new");
  assert.deepEqual([State, Err, Swap?.Kind], ["failed", "not healthy within 60 s", "rolled_back"]);
  await cluster.stop();
});

Deno.test("Swap: without a manager the device goes back all the same, and tells it later", async () => {
  const cluster = await begun();
  cluster.stopManager();
  cluster.device.program("new").exit(1);
  await later(cluster, 1_000);
  assert.deepEqual(cluster.device.running, ["old"]);
  assert.equal(cluster.status("new").State, "running", "nobody has told");
  await cluster.startManager();
  await later(cluster, 60_000);
  assert.equal(cluster.status("new").State, "failed");
  assert.equal(cluster.status("new").Swap?.Kind, "rolled_back");
  assert.deepEqual(cluster.device.running, ["old"]);
  await cluster.stop();
});

Deno.test("Swap: without a manager a new task proves itself all the same", async () => {
  const cluster = await begun();
  cluster.stopManager();
  await later(cluster, 60_000);
  assert.deepEqual(cluster.device.running, ["new"]);
  // It is the task of this device now, and run again in place like any other.
  cluster.device.program("new").exit(1);
  await later(cluster, 10_000);
  assert.deepEqual(cluster.device.running, ["new"]);
  await cluster.startManager();
  await later(cluster, 60_000);
  assert.equal(cluster.status("old").State, "shutdown");
  assert.equal(cluster.status("new").State, "running");
  await cluster.stop();
});

Deno.test("Swap: start-first keeps the old task running until the new one has proved itself", async () => {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  await cluster.assign("old", { Spec: spec("v1") });
  await assignNew(cluster, { Swap: { ...SWAP, StartFirst: true }, DesiredState: "running" });
  assert.deepEqual(cluster.device.running, ["old", "new"]);
  await later(cluster, 10_000);
  assert.deepEqual(cluster.device.running, ["new"]);
  assert.equal(cluster.status("old").State, "shutdown");
  await cluster.stop();
});

Deno.test("Swap: a new task that is taken back in the middle makes room for the old one", async () => {
  for (const how of ["shutdown", "remove", "newer"] as const) {
    const cluster = await begun();
    if (how === "remove") await cluster.remove("new");
    else if (how === "shutdown") await cluster.want("new", "shutdown");
    else {
      await cluster.want("new", "shutdown");
      await assignNew(cluster, { Spec: spec("v3"), DesiredState: "running" }, "newer");
    }
    await cluster.settle();
    assert.deepEqual(cluster.device.running, [how === "newer" ? "newer" : "old"]);
    await later(cluster, 60_000);
    assert.deepEqual(cluster.device.running, [how === "newer" ? "newer" : "old"]);
    await cluster.stop();
  }
});

Deno.test("Swap: both tasks are ended where neither is wanted any more", async () => {
  const cluster = await begun();
  await cluster.want("old", "shutdown");
  await cluster.want("new", "shutdown");
  assert.deepEqual(cluster.device.running, []);
  assert.equal(cluster.status("old").State, "shutdown");
  assert.equal(cluster.status("new").State, "shutdown");
  await cluster.stop();
});

Deno.test("Swap: a new task that cannot be made ready leaves the old one alone", async () => {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  await cluster.assign("old", { Spec: spec("v1") });
  const { CoveyError } = await import("../../api/errors.ts");
  cluster.device.program("new").errors.prepare = [new CoveyError("not_found", "Cannot pull: no such image")];
  await assignNew(cluster);
  assert.equal(cluster.status("new").State, "rejected");
  assert.equal(cluster.device.program("old").count("shutdown"), 0);
  await cluster.stop();
});

Deno.test("Swap: an old task that crashes before the swap begins is its manager's business, and the swap waits", async () => {
  const cluster = await prepared();
  cluster.device.program("old").exit(1);
  await cluster.settle();
  assert.equal(cluster.status("old").State, "failed");
  await cluster.want("new", "running");
  assert.deepEqual(cluster.device.running, []);
  // As the restart supervisor does.
  await cluster.want("old", "shutdown");
  assert.deepEqual(cluster.device.running, ["new"]);
  await cluster.stop();
});

Deno.test("Swap: an agent that is killed in the middle goes on where it was", async () => {
  // The state on the disk at every turn of a swap is one that an agent may find.
  const cluster = await begun();
  await cluster.stopAgent();
  await cluster.startAgent();
  assert.deepEqual(cluster.device.running, ["new"]);
  await later(cluster, 10_000);
  assert.equal(cluster.status("old").State, "shutdown");
  await cluster.stop();
});

Deno.test("Swap: after a power cut in the middle the new task is tried again, and the old one kept", async () => {
  const cluster = await begun();
  await cluster.stopAgent();
  cluster.device.reboot();
  await cluster.startAgent("boot-2");
  await later(cluster, 1_000);
  assert.deepEqual(cluster.device.running, ["new"]);
  cluster.device.program("new").exit(1);
  await cluster.settle();
  assert.deepEqual(cluster.device.running, ["old"]);
  await cluster.stop();
});

Deno.test("Swap: a device that falls over again and again with the new task goes back to the old one", async () => {
  const cluster = await begun();
  for (let boot = 2; boot < 8; boot++) {
    await cluster.stopAgent();
    cluster.device.reboot();
    await cluster.startAgent(`boot-${boot}`);
    await later(cluster, 1_000);
  }
  assert.deepEqual(cluster.device.running, ["old"]);
  assert.equal(cluster.status("new").State, "failed");
  await cluster.stop();
});

Deno.test("Swap: once it is known that a version failed here, it is not tried again unless somebody says so", async () => {
  const cluster = await begun();
  cluster.device.program("new").exit(1);
  await cluster.settle();
  await cluster.stopAgent();
  await cluster.startAgent("boot-2");
  await cluster.want("new", "shutdown");
  await assignNew(cluster, { DesiredState: "running" }, "again");
  const { State, Swap } = cluster.status("again");
  assert.equal(Swap?.Kind, "remembered_bad");
  assert.notEqual(State, "failed");
  assert.deepEqual(cluster.device.running, ["old"]);
  await cluster.want("again", "shutdown");
  assert.equal(cluster.status("again").Swap, undefined);
  await assignNew(cluster, { DesiredState: "running", Swap: { ...SWAP, Retry: true } }, "retried");
  assert.deepEqual(cluster.device.running, ["retried"]);
  await later(cluster, 10_000);
  assert.equal(cluster.state.badVersions.size, 0);
  await cluster.stopAgent();
  await cluster.startAgent("boot-2");
  assert.equal(cluster.state.badVersions.size, 0, "what failed before the retry is past");
  await cluster.stop();
});

Deno.test("Swap: the old task goes on while the new one would have to wait for another service", async () => {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  await cluster.assign("old", { Spec: spec("v1") });
  const DependsOn = [{ Service: "db", Condition: "service_healthy" as const }];
  await assignNew(cluster, { Spec: { ...spec("v2"), DependsOn }, DesiredState: "running" });
  await later(cluster, 120_000);
  assert.deepEqual(cluster.device.running, ["old"]);
  const { State, Swap } = cluster.status("new");
  assert.deepEqual([State, Swap?.Kind], ["ready", "ineligible"]);
  assert.match(Swap!.Reason, /^waits for service db to be healthy on this node/);
  await cluster.assign("db", { ServiceID: "db", ServiceAnnotations: { Name: "db", Labels: {} } });
  await later(cluster, 10_000);
  assert.deepEqual(cluster.device.running.sort(), ["db", "new"]);
  await cluster.stop();
});
