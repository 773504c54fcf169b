import assert from "node:assert/strict";
import type { RestartPolicy } from "../../../api/service.ts";
import type { TaskState } from "../../../api/task_state.ts";
import { Fleet } from "../orchestrator/harness.ts";

const SECOND = 1e9;

/** A service of one whose first task ends in `end`; how many tasks its slot had after `ms`. */
async function tasksAfter(policy: RestartPolicy, end: TaskState, ms = 6000): Promise<number> {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("job", 1, { template: { RestartPolicy: policy } });
  await fleet.agents.report(fleet.running(id)[0]!.ID, end);
  await fleet.clock.advance(ms);
  return fleet.all(id).length;
}

Deno.test("RestartSupervisor: a failed task is shut down; its replacement waits ready, then runs (23)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 1);
  const [first] = fleet.running(id);
  await fleet.agents.report(first!.ID, "failed");
  await fleet.clock.advance(100);
  const [old, replacement] = fleet.all(id);
  assert.equal(old!.DesiredState, "shutdown");
  assert.equal(replacement!.DesiredState, "ready");
  assert.equal(replacement!.Slot, old!.Slot);
  assert.equal(replacement!.Status.State, "ready");
  await fleet.clock.advance(4800);
  assert.equal(fleet.store.get("tasks", replacement!.ID)!.DesiredState, "ready");
  await fleet.clock.advance(200);
  assert.equal(fleet.store.get("tasks", replacement!.ID)!.Status.State, "running");
});

Deno.test("RestartSupervisor: conditions any, on-failure and none meet exit 0 and 1 (36)", async () => {
  assert.equal(await tasksAfter({}, "complete"), 2);
  assert.equal(await tasksAfter({ Condition: "any" }, "failed"), 2);
  assert.equal(await tasksAfter({ Condition: "on-failure" }, "complete"), 1);
  assert.equal(await tasksAfter({ Condition: "on-failure" }, "failed"), 2);
  assert.equal(await tasksAfter({ Condition: "none" }, "complete"), 1);
  assert.equal(await tasksAfter({ Condition: "none" }, "failed"), 1);
});

Deno.test("RestartSupervisor: the policy's delay is kept (23)", async () => {
  assert.equal(await tasksAfter({ Delay: 0.1 * SECOND }, "failed", 50), 2);
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: { Delay: 0 } } });
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(200);
  assert.equal(fleet.running(id).length, 1);
});

Deno.test("RestartSupervisor: n attempts, then rest; a new spec counts anew (37)", async () => {
  await using fleet = await Fleet.of(["a"], () => "failed");
  const policy = { MaxAttempts: 3, Delay: SECOND };
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: policy } });
  await fleet.clock.advance(60_000);
  assert.equal(fleet.all(id).length, 4);
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  const versions = fleet.all(id).map((task) => task.Spec.ProcessSpec!.Args?.[0] ?? "");
  assert.equal(versions.filter((version) => version === "v2").length, 4);
});

Deno.test("RestartSupervisor: a new leader remembers the attempts made (37)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const policy = { MaxAttempts: 2, Delay: SECOND };
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: policy } });
  for (let i = 0; i < 2; i++) {
    await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
    await fleet.clock.advance(2000);
  }
  await fleet.stepDown();
  fleet.lead();
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(10_000);
  assert.equal(fleet.all(id).length, 3);
  assert.deepEqual(fleet.running(id), []);
});

Deno.test("RestartSupervisor: only restarts inside the window count (38)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const policy = { MaxAttempts: 1, Delay: SECOND, Window: 30 * SECOND };
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: policy } });
  for (let i = 0; i < 3; i++) {
    await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
    await fleet.clock.advance(31_000);
    assert.equal(fleet.running(id).length, 1);
  }
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(5000);
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.running(id), []);
});

Deno.test("RestartSupervisor: a crash during the delay makes no tight loop (39)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 1);
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(100);
  // The replacement cannot even be prepared.
  await fleet.agents.report(fleet.all(id)[1]!.ID, "rejected");
  await fleet.clock.advance(4000);
  assert.equal(fleet.all(id).length, 2);
  await fleet.clock.advance(1000);
  assert.equal(fleet.all(id).length, 3);
  await fleet.clock.advance(5000);
  assert.equal(fleet.running(id).length, 1);
});

Deno.test("RestartSupervisor: a new leader starts a delayed task after the rest of its delay (28)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 1);
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(3000);
  await fleet.stepDown();
  await fleet.clock.advance(1000);
  fleet.lead();
  await fleet.clock.advance(900);
  assert.equal(fleet.running(id).length, 0);
  await fleet.clock.advance(200);
  assert.equal(fleet.running(id).length, 1);
});

Deno.test("RestartSupervisor: a start waits at most 60 s for the old task to stop (45)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 1);
  const old = fleet.running(id)[0]!;
  fleet.agents.offline.add(old.NodeID);
  await fleet.availability(old.NodeID, "drain");
  await fleet.clock.advance(59_000);
  assert.deepEqual(fleet.all(id).map((task) => task.DesiredState), ["shutdown", "ready"]);
  await fleet.clock.advance(2000);
  assert.deepEqual(fleet.all(id).map((task) => task.DesiredState), ["shutdown", "running"]);
});
