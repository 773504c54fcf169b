import assert from "node:assert/strict";
import { Fleet } from "./harness.ts";

Deno.test("GlobalOrchestrator: a new service gets one task per eligible node (29)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  await fleet.node("down", { state: "down" });
  await fleet.node("drained", { availability: "drain" });
  await fleet.node("paused", { availability: "pause" });
  const id = await fleet.global("probe");
  assert.deepEqual(fleet.placement(id), { a: 1, b: 1 });
  assert.equal(fleet.all(id).length, 2);
});

Deno.test("GlobalOrchestrator: a node that joins gets its task without any delay (30)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.global("probe");
  await fleet.node("b");
  await fleet.clock.advance(0);
  await fleet.clock.advance(0);
  assert.deepEqual(fleet.placement(id), { a: 1, b: 1 });
});

Deno.test("GlobalOrchestrator: drain stops the task, active again makes a new one (31)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.global("probe");
  const [first] = fleet.running(id);
  await fleet.availability("a", "drain");
  await fleet.clock.advance(100);
  assert.equal(fleet.store.get("tasks", first!.ID)!.Status.State, "shutdown");
  assert.deepEqual(fleet.wanted(id), []);
  await fleet.availability("a", "active");
  await fleet.clock.advance(100);
  assert.deepEqual(fleet.placement(id), { a: 1 });
  assert.notEqual(fleet.running(id)[0]!.ID, first!.ID);
});

Deno.test("GlobalOrchestrator: an outage changes nothing about the task (differs from 31)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.global("probe");
  const before = fleet.all(id).map((task) => [task.ID, task.DesiredState, task.Status.State]);
  for (const state of ["unknown", "down", "ready", "down", "ready"] as const) {
    await fleet.state("a", state);
    await fleet.clock.advance(60_000);
    assert.deepEqual(fleet.all(id).map((task) => [task.ID, task.DesiredState, task.Status.State]), before);
  }
});

Deno.test("GlobalOrchestrator: a new leader leaves the tasks of unreachable nodes alone", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.global("probe");
  const before = fleet.all(id).map((task) => task.ID);
  await fleet.stepDown();
  await fleet.state("a", "down");
  await fleet.state("b", "unknown");
  fleet.lead();
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.wanted(id).map((task) => task.ID), before);
  assert.equal(fleet.all(id).length, 2);
});

Deno.test("GlobalOrchestrator: tasks of a removed node are deleted", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.global("probe");
  await fleet.removeNode("a");
  await fleet.clock.advance(100);
  assert.deepEqual(fleet.all(id).map((task) => task.NodeID), ["b"]);
});

Deno.test("GlobalOrchestrator: a paused node is neither filled nor updated until it is active (32)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.global("probe");
  await fleet.availability("a", "pause");
  await fleet.release(id, "v2");
  const other = await fleet.global("other");
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { "": 1 });
  assert.deepEqual(fleet.all(other), []);
  await fleet.availability("a", "active");
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.versions(id), { v2: 1 });
  assert.deepEqual(fleet.placement(other), { a: 1 });
});

Deno.test("GlobalOrchestrator: labels decide where tasks are (33)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.global("probe", {
    template: { Placement: { Constraints: ["node.labels.kind==camera"] } },
  });
  const label = (kind: string) =>
    fleet.setNode("a", (node) => ({ ...node, Spec: { ...node.Spec, Labels: { kind } } }));
  assert.deepEqual(fleet.all(id), []);
  await label("camera");
  await fleet.clock.advance(100);
  assert.deepEqual(fleet.placement(id), { a: 1 });
  await label("door");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.wanted(id), []);
  await label("camera");
  await fleet.clock.advance(100);
  assert.deepEqual(fleet.placement(id), { a: 1 });
});

Deno.test("GlobalOrchestrator: new constraints of the service remove tasks that do not match (34)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.global("probe");
  await fleet.template(id, { Placement: { Constraints: ["node.hostname!=a"] } });
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.placement(id), { b: 1 });
});

Deno.test("GlobalOrchestrator: condition none is not recreated, until the spec changes (35)", async () => {
  await using fleet = await Fleet.of(["a"], () => "complete");
  const id = await fleet.global("once", { template: { RestartPolicy: { Condition: "none" } } });
  await fleet.clock.advance(20_000);
  assert.equal(fleet.all(id).length, 1);
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(20_000);
  assert.equal(fleet.all(id).length, 1);
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  assert.equal(fleet.all(id).length, 2);
});

Deno.test("GlobalOrchestrator: a failed task is replaced on its node after the delay (23)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.global("probe");
  const victim = fleet.running(id).find((task) => task.NodeID === "a")!;
  await fleet.agents.report(victim.ID, "failed");
  await fleet.clock.advance(4900);
  assert.deepEqual(fleet.placement(id), { b: 1 });
  await fleet.clock.advance(200);
  assert.deepEqual(fleet.placement(id), { b: 1, a: 1 });
});

Deno.test("GlobalOrchestrator: a task that fails on a paused node is not restarted", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.global("probe");
  await fleet.availability("a", "pause");
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.wanted(id), []);
});

Deno.test("GlobalOrchestrator: tasks of a removed service are removed (26)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.global("probe");
  await fleet.store.update((tx) => tx.delete("services", id));
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.all(id), []);
});

Deno.test("GlobalOrchestrator: condition none rests through a drain, a label and a new leader (35)", async () => {
  await using fleet = await Fleet.of(["a"], () => "complete");
  const id = await fleet.global("once", { template: { RestartPolicy: { Condition: "none" } } });
  const running = await fleet.global("runs", { template: { RestartPolicy: { Condition: "none" } } });
  for (const availability of ["drain", "active"] as const) {
    await fleet.availability("a", availability);
    await fleet.update(id, (spec) => ({ ...spec, Labels: { availability } }));
    await fleet.stepDown();
    fleet.lead();
    await fleet.clock.advance(20_000);
  }
  for (const service of [id, running]) assert.equal(fleet.all(service).length, 1);
});
