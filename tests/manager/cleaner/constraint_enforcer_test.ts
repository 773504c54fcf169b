import assert from "node:assert/strict";
import { Fleet } from "../orchestrator/harness.ts";

const reserve = (cores: number) => ({ Resources: { Reservations: { NanoCPUs: cores * 1e9 } } });

function shrink(fleet: Fleet, id: string, cores: number): Promise<void> {
  return fleet.setNode(id, (node) => ({
    ...node,
    Description: { ...node.Description!, Resources: { NanoCPUs: cores * 1e9, MemoryBytes: 8e9 } },
  }));
}

Deno.test("ConstraintEnforcer: what no longer fits a shrunk node is rejected and moves (68)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 3, { template: reserve(1) });
  await fleet.node("b");
  await shrink(fleet, "a", 2);
  await fleet.clock.advance(100);
  const rejected = fleet.all(id).filter((task) => task.Status.State === "rejected");
  assert.deepEqual(rejected.map(({ Status }) => [Status.Message, Status.Err]), [
    ["task rejected by constraint enforcer", "assigned node no longer meets constraints"],
  ]);
  await fleet.clock.advance(6000);
  assert.deepEqual(fleet.placement(id), { a: 2, b: 1 });
});

Deno.test("ConstraintEnforcer: the service's present constraints count, not the task's (69)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const label = (id: string, zone: string) =>
    fleet.setNode(id, (node) => ({ ...node, Spec: { ...node.Spec, Labels: { zone } } }));
  await label("a", "x");
  await label("b", "x");
  const id = await fleet.replicated("web", 2);
  await fleet.template(id, { Placement: { Constraints: ["node.labels.zone==x"] } });
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.placement(id), { a: 1, b: 1 });
  await label("a", "y");
  await fleet.clock.advance(6000);
  assert.deepEqual(fleet.placement(id), { b: 2 });
});

Deno.test("ConstraintEnforcer: tasks that ended hold no reservation (70)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const policy = { RestartPolicy: { Condition: "none" as const } };
  const done = await fleet.replicated("done", 2, { template: { ...reserve(1), ...policy } });
  for (const task of fleet.running(done)) await fleet.agents.report(task.ID, "complete");
  const id = await fleet.replicated("web", 2, { template: reserve(1) });
  await shrink(fleet, "a", 2);
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.placement(id), { a: 2 });
});

Deno.test("ConstraintEnforcer: a paused node keeps what it has", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2, { template: reserve(1) });
  await fleet.availability("a", "pause");
  await shrink(fleet, "a", 1);
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.placement(id), { a: 2 });
});
