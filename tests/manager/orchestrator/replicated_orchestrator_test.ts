import assert from "node:assert/strict";
import { slotsToKeep } from "../../../manager/orchestrator/replicated_orchestrator.ts";
import { newTask } from "../../../manager/task/task.ts";
import { Fleet, makeService } from "./harness.ts";

Deno.test("ReplicatedOrchestrator: a service of n gets slots 1 to n (19)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 3);
  assert.deepEqual(fleet.slots(id), [1, 2, 3]);
});

Deno.test("ReplicatedOrchestrator: scale up fills lowest free slots (20)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 4);
  // Slot 2 goes because the newest wanted task of it is not running; slots 1, 3, 4 stay.
  fleet.agents.fate = () => undefined;
  const second = fleet.running(id).find((task) => task.Slot === 2)!;
  await fleet.agents.report(second.ID, "failed");
  await fleet.clock.advance(0);
  await fleet.scale(id, 3);
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.slots(id), [1, 3, 4]);
  fleet.agents.fate = () => "running";
  await fleet.scale(id, 5);
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.slots(id), [1, 2, 3, 4, 5]);
});

Deno.test("ReplicatedOrchestrator: scale down takes from the fullest node first (21)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 4);
  await fleet.node("b");
  await fleet.scale(id, 5);
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.placement(id), { a: 4, b: 1 });
  await fleet.scale(id, 2);
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.placement(id), { a: 1, b: 1 });
});

Deno.test("ReplicatedOrchestrator: scale down keeps running tasks and low slots (21)", async () => {
  await using fleet = await Fleet.of([]);
  const service = makeService("web", { Replicated: { Replicas: 5 } });
  const task = (slot: number, node: string, state: "running" | "starting" | "pending") => {
    const made = newTask(service, { slot }, undefined, fleet.clock, fleet.random);
    return [slot, [{ ...made, NodeID: node, Status: { ...made.Status, State: state } }]] as const;
  };
  const live = new Map([
    task(1, "a", "starting"),
    task(2, "a", "running"),
    task(3, "a", "running"),
    task(4, "", "pending"),
    task(5, "b", "running"),
  ].map(([slot, tasks]) => [slot, [...tasks]]));
  assert.deepEqual(slotsToKeep(live), [2, 5, 3, 1, 4]);
});

Deno.test("ReplicatedOrchestrator: a task deleted from outside is made anew (22)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2);
  const [victim] = fleet.running(id);
  await fleet.store.update((tx) => tx.delete("tasks", victim!.ID));
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.slots(id), [1, 2]);
});

Deno.test("ReplicatedOrchestrator: tasks of a down node are replaced elsewhere after the delay (24)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  const lost = fleet.running(id).find((task) => task.NodeID === "a")!;
  await fleet.state("a", "down");
  await fleet.clock.advance(4900);
  assert.equal(fleet.running(id).filter((task) => task.NodeID === "b").length, 1);
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.placement(id), { b: 2 });
  assert.equal(fleet.store.get("tasks", lost.ID)!.DesiredState, "shutdown");
});

Deno.test("ReplicatedOrchestrator: a replaced task is stopped when its node returns (24)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  const lost = fleet.running(id).find((task) => task.NodeID === "a")!;
  await fleet.state("a", "down");
  await fleet.clock.advance(6000);
  assert.equal(fleet.store.get("tasks", lost.ID)!.Status.State, "running");
  await fleet.state("a", "ready");
  await fleet.clock.advance(1000);
  assert.equal(fleet.store.get("tasks", lost.ID)!.Status.State, "shutdown");
  assert.deepEqual(fleet.placement(id), { b: 2 });
});

Deno.test("ReplicatedOrchestrator: tasks of a removed node are replaced (24)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  await fleet.removeNode("a");
  await fleet.clock.advance(6000);
  assert.deepEqual(fleet.placement(id), { b: 2 });
});

Deno.test("ReplicatedOrchestrator: a drained node's tasks move without delay (24)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  await fleet.availability("a", "drain");
  await fleet.clock.advance(500);
  assert.deepEqual(fleet.placement(id), { b: 2 });
});

Deno.test("ReplicatedOrchestrator: a paused node keeps its tasks (25)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  const before = fleet.running(id).map((task) => task.ID);
  await fleet.availability("a", "pause");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.running(id).map((task) => task.ID), before);
});

Deno.test("ReplicatedOrchestrator: a removed service's tasks go once their agents stopped them (26)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  fleet.agents.offline.add("a");
  await fleet.store.update((tx) => tx.delete("services", id));
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.all(id).map((task) => [task.NodeID, task.DesiredState]), [["a", "remove"]]);
  fleet.agents.offline.delete("a");
  fleet.agents.kick();
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.all(id), []);
});

Deno.test("ReplicatedOrchestrator: a new leader deletes tasks of a missing service (27)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2);
  await fleet.stepDown();
  await fleet.store.update((tx) => tx.delete("services", id));
  fleet.lead();
  await fleet.clock.advance(0);
  assert.deepEqual(fleet.all(id), []);
});

Deno.test("ReplicatedOrchestrator: goes on after a failed write", async () => {
  await using fleet = await Fleet.of(["a"]);
  let failures = 3;
  const service = makeService("web", { Replicated: { Replicas: 2 } });
  await fleet.store.update((tx) => tx.create("services", service));
  fleet.consensus.beforeCommit = () => {
    if (failures-- > 0) throw new Error("lost");
  };
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.slots(service.ID), [1, 2]);
});

Deno.test("ReplicatedOrchestrator: a task in slot 0 is its service's, not its node's", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 1);
  const [task] = fleet.running(id);
  await fleet.store.update((tx) => tx.update("tasks", { ...tx.get("tasks", task!.ID)!, Slot: 0 }));
  await fleet.clock.advance(0);
  await fleet.agents.report(task!.ID, "failed");
  await fleet.clock.advance(6000);
  assert.equal(fleet.running(id).length, 1);
  assert.deepEqual(fleet.slots(id), [0]);
});
