import assert from "node:assert/strict";
import type { RestartPolicy } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import type { TaskState } from "../../../api/task_state.ts";
import { Fleet, versionOf } from "../orchestrator/harness.ts";

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

Deno.test("RestartSupervisor: a new leader does not wait out the delay of a task that was refused (28)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: { Delay: 60 * SECOND } } });
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(100);
  await fleet.agents.report(fleet.all(id)[1]!.ID, "rejected");
  await fleet.clock.advance(10_000);
  assert.equal(fleet.all(id).length, 2);
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(100);
  assert.deepEqual(fleet.all(id).map((task) => task.DesiredState), ["shutdown", "shutdown", "ready"]);
  // No tight loop either: the replacement waits.
  await fleet.clock.advance(59_000);
  assert.deepEqual(fleet.running(id), []);
  await fleet.clock.advance(2000);
  assert.equal(fleet.running(id).length, 1);
});

/** A drained task does not stop: whether its replacement is told to start is looked at at the given times. */
async function desiredAfter(StopGracePeriod: number | undefined, ...ms: number[]): Promise<string[]> {
  await using fleet = await Fleet.of(["a", "b"]);
  const ProcessSpec = { Command: "run", ...(StopGracePeriod !== undefined && { StopGracePeriod }) };
  const id = await fleet.replicated("web", 1, { template: { ProcessSpec } });
  const old = fleet.running(id)[0]!;
  fleet.agents.offline.add(old.NodeID);
  await fleet.availability(old.NodeID, "drain");
  const seen: string[] = [];
  for (const each of ms) {
    await fleet.clock.advance(each);
    seen.push(fleet.all(id)[1]!.DesiredState);
  }
  return seen;
}

Deno.test("RestartSupervisor: a start waits for the old task as long as its grace period asks for (45)", async () => {
  assert.deepEqual(await desiredAfter(undefined, 59_000, 2000), ["ready", "running"]);
  assert.deepEqual(await desiredAfter(300 * SECOND, 300_000, 49_000, 2000), ["ready", "ready", "running"]);
  assert.deepEqual(await desiredAfter(0, 49_000, 2000), ["ready", "running"]);
});

Deno.test("RestartSupervisor: a new leader keeps to the old task's grace period (45)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const ProcessSpec = { Command: "run", StopGracePeriod: 300 * SECOND };
  const id = await fleet.replicated("web", 1, { template: { ProcessSpec } });
  fleet.agents.offline.add("a");
  await fleet.release(id, "v2");
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(299_000);
  assert.deepEqual(fleet.all(id).map((task) => task.DesiredState), ["shutdown", "ready"]);
});

/** A service at rest, and everything that must not wake it. */
async function staysAtRest(policy: RestartPolicy, end: TaskState, runs: number): Promise<void> {
  await using fleet = await Fleet.of(["a", "b"], () => undefined);
  const id = await fleet.replicated("job", 1, { template: { RestartPolicy: policy } });
  const fate = (task: Task) => task.ServiceID === id ? end as "failed" : "running" as const;
  fleet.agents.fate = fate;
  fleet.agents.kick();
  await fleet.clock.advance(60_000);
  const rest = fleet.all(id).map(({ ID }) => ID);
  assert.equal(rest.length, runs);
  const label = (text: string) => fleet.update(id, (spec) => ({ ...spec, Labels: { text } }));
  const lead = async () => {
    await fleet.stepDown();
    fleet.lead();
  };
  const disturbances: (() => Promise<void>)[] = [
    lead,
    () => label("x"),
    lead,
    () => fleet.availability("a", "drain"),
    () => fleet.availability("a", "active"),
    () => fleet.state("b", "down"),
    () => fleet.state("b", "ready"),
    () => label("y"),
    lead,
    () => fleet.availability("b", "drain"),
    () => label("z"),
    lead,
  ];
  for (const [index, disturb] of disturbances.entries()) {
    await disturb();
    await fleet.clock.advance(120_000);
    assert.deepEqual(fleet.all(id).map(({ ID }) => ID), rest, `disturbance ${index}`);
  }
  await fleet.scale(id, 2);
  await fleet.clock.advance(120_000);
  assert.deepEqual(fleet.all(id).filter((task) => task.Slot === 1).map(({ ID }) => ID), rest);
}

Deno.test("RestartSupervisor: what its policy lets rest is woken by no leader, label, drain or scaling (36)", async () => {
  await staysAtRest({ Condition: "none" }, "complete", 1);
  await staysAtRest({ Condition: "none" }, "failed", 1);
  await staysAtRest({ Condition: "on-failure" }, "complete", 1);
});

Deno.test("RestartSupervisor: attempts that are used up stay used up, also once their window is over (37, 38)", async () => {
  await staysAtRest({ MaxAttempts: 2, Delay: SECOND }, "failed", 3);
  await staysAtRest({ MaxAttempts: 2, Delay: SECOND, Window: 30 * SECOND }, "failed", 3);
});

Deno.test("RestartSupervisor: a drained or lost task that is not restarted rests too (36)", async () => {
  for (const lose of ["drain", "down", "remove"] as const) {
    await using fleet = await Fleet.of(["a", "b"]);
    const id = await fleet.replicated("job", 1, { template: { RestartPolicy: { Condition: "none" } } });
    const [task] = fleet.running(id);
    if (lose === "drain") await fleet.availability(task!.NodeID, "drain");
    else if (lose === "down") await fleet.state(task!.NodeID, "down");
    else await fleet.removeNode(task!.NodeID);
    await fleet.clock.advance(10_000);
    await fleet.scale(id, 2);
    await fleet.stepDown();
    fleet.lead();
    await fleet.clock.advance(10_000);
    assert.deepEqual(fleet.slots(id), [2], lose);
  }
});

Deno.test("RestartSupervisor: of a slot's tasks the one that ended last is judged", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("job", 1, { template: { RestartPolicy: { Condition: "on-failure" } } });
  const [task] = fleet.running(id);
  await fleet.store.update((tx) => {
    tx.create("tasks", {
      ...task!,
      ID: fleet.id(),
      DesiredState: "shutdown",
      Status: { ...task!.Status, State: "shutdown" },
    });
  });
  await fleet.agents.report(task!.ID, "complete");
  await fleet.update(id, (spec) => ({ ...spec, Labels: { text: "x" } }));
  await fleet.clock.advance(10_000);
  assert.equal(fleet.all(id).length, 2);
  assert.deepEqual(fleet.wanted(id), []);
});

Deno.test("RestartSupervisor: a rollback wakes what rests of the new spec, and nothing else (49)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const options = { UpdateConfig: { Parallelism: 1, FailureAction: "rollback" as const } };
  const template = { RestartPolicy: { Condition: "none" as const } };
  const id = await fleet.replicated("job", 2, { ...options, template });
  const second = fleet.running(id).find((task) => task.Slot === 2)!;
  await fleet.agents.report(second.ID, "complete");
  await fleet.clock.advance(1000);
  fleet.agents.fate = (task) => versionOf(task) === "v2" ? "failed" : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "rollback_completed");
  assert.deepEqual(fleet.slots(id), [1]);
  assert.deepEqual(fleet.all(id).filter((task) => task.Slot === 2).map(({ ID }) => ID), [second.ID]);
});

Deno.test("RestartSupervisor: a global service's attempts are counted on each node by itself (37)", async () => {
  await using fleet = await Fleet.of(["a", "b"], (task) => task.NodeID === "a" ? "failed" : "running");
  const template = { RestartPolicy: { MaxAttempts: 2, Delay: SECOND } };
  const id = await fleet.global("probe", { template });
  await fleet.clock.advance(60_000);
  const made = (node: string) => fleet.all(id).filter(({ NodeID }) => NodeID === node).length;
  assert.deepEqual([made("a"), made("b")], [3, 1]);
  for (let i = 0; i < 2; i++) {
    await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
    await fleet.clock.advance(2000);
  }
  assert.deepEqual(fleet.placement(id), { b: 1 });
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  assert.equal(fleet.all(id).filter((task) => task.NodeID === "a" && versionOf(task) === "v2").length, 3);
});
