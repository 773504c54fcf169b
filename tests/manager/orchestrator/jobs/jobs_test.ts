import assert from "node:assert/strict";
import type { Task } from "../../../../api/task.ts";
import { isTerminal, type TaskState } from "../../../../api/task_state.ts";
import { serviceStatus } from "../../../../manager/control/service_status.ts";
import { Fleet, makeCluster } from "../harness.ts";

/** Of the present run of a job: `slot state` (node in place of the slot where nodes count), in order. */
function shown(fleet: Fleet, id: string): string[] {
  const run = fleet.service(id).JobStatus!.JobIteration.Index;
  return fleet.all(id).filter((task) => task.JobIteration?.Index === run)
    .map((task) => `${task.Slot ?? task.NodeID} ${task.Status.State}`).sort();
}

/** Tasks of a job that are at work. */
function working(fleet: Fleet, id: string): Task[] {
  return fleet.all(id).filter((task) => task.DesiredState === "complete" && !isTerminal(task.Status.State));
}

async function end(fleet: Fleet, task: Task, state: TaskState): Promise<void> {
  await fleet.agents.report(task.ID, state, { ContainerStatus: { ContainerID: "", PID: 0, ExitCode: 0 } });
  await fleet.clock.advance(200);
}

function replicatedJob(MaxConcurrent: number, TotalCompletions: number) {
  return { ReplicatedJob: { MaxConcurrent, TotalCompletions } };
}

function counts(fleet: Fleet, id: string): string {
  const { RunningTasks, DesiredTasks, CompletedTasks } = serviceStatus(fleet.store, fleet.service(id));
  return `${RunningTasks}/${DesiredTasks} (${CompletedTasks})`;
}

Deno.test("Replicated job: never has more tasks than may run at once, nor than complete in all (40)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.job("j", replicatedJob(2, 5));
  const seen = new Set<string>();
  let most = 0;
  fleet.store.subscribe(() => {
    most = Math.max(most, working(fleet, id).length);
    for (const { ID } of fleet.all(id)) seen.add(ID);
  });
  assert.deepEqual(shown(fleet, id), ["0 running", "1 running"]);
  assert.equal(counts(fleet, id), "2/2 (0)");
  for (let completed = 1; completed <= 5; completed++) {
    await end(fleet, working(fleet, id)[0]!, "complete");
    assert.equal(serviceStatus(fleet.store, fleet.service(id)).CompletedTasks, completed);
  }
  await fleet.clock.advance(600_000);
  assert.deepEqual(shown(fleet, id), [0, 1, 2, 3, 4].map((slot) => `${slot} complete`));
  assert.deepEqual([most, seen.size], [2, 5]);
  assert.equal(counts(fleet, id), "0/2 (5)");
  assert.ok(fleet.all(id).every((task) => task.DesiredState === "complete"));
});

Deno.test("Replicated job: more at once than in all, and none at all (40)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const few = await fleet.job("few", replicatedJob(10, 2)),
    none = await fleet.job("none", replicatedJob(3, 0));
  assert.deepEqual(shown(fleet, few), ["0 running", "1 running"]);
  assert.deepEqual(shown(fleet, none), []);
});

Deno.test("Replicated job: a failed task is restarted in its slot after its delay, a completed one never (41)", async () => {
  for (const Condition of ["any", "on-failure"] as const) {
    await using fleet = await Fleet.of(["a"]);
    const id = await fleet.job("j", replicatedJob(1, 1), {
      template: { RestartPolicy: { Condition, Delay: 5e9 } },
    });
    await end(fleet, working(fleet, id)[0]!, "failed");
    assert.equal(fleet.all(id).at(-1)!.DesiredState, "ready");
    await fleet.clock.advance(5_000);
    await fleet.clock.advance(200);
    assert.deepEqual(shown(fleet, id), ["0 failed", "0 running"]);
    const [second] = working(fleet, id);
    await end(fleet, second!, "complete");
    await fleet.clock.advance(60_000);
    assert.deepEqual(shown(fleet, id), ["0 complete", "0 failed"]);
    assert.equal(fleet.store.get("tasks", second!.ID)!.Status.ContainerStatus!.ExitCode, 0);
  }
});

Deno.test("Replicated job: a slot that gave up is not tried again, and does not hold up the others (41)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.job("j", replicatedJob(1, 2), {
    template: { RestartPolicy: { Condition: "none" } },
  });
  await end(fleet, working(fleet, id)[0]!, "failed");
  assert.deepEqual(shown(fleet, id), ["0 failed", "1 running"]);
  await end(fleet, working(fleet, id)[0]!, "complete");
  await fleet.clock.advance(60_000);
  assert.deepEqual(shown(fleet, id), ["0 failed", "1 complete"]);
});

Deno.test("Jobs: attempts are limited as in any service, on nodes too (41)", async () => {
  await using fleet = await Fleet.of(["a"], () => "failed");
  const template = { RestartPolicy: { Condition: "any", Delay: 1e9, MaxAttempts: 2 } } as const;
  const ids = [
    await fleet.job("j", replicatedJob(1, 1), { template }),
    await fleet.job("g", { GlobalJob: {} }, { template }),
  ];
  for (let second = 0; second < 60; second++) await fleet.clock.advance(1000);
  for (const id of ids) assert.equal(fleet.all(id).length, 3);
  await fleet.state("a", "down");
  await fleet.state("a", "ready");
  await fleet.clock.advance(10_000);
  assert.equal(fleet.all(ids[1]!).length, 3);
});

Deno.test("Jobs: failed attempts are kept as long as the history is, what completed always", async () => {
  await using fleet = await Fleet.of(["a"]);
  await fleet.store.update((tx) => tx.create("clusters", makeCluster(2)));
  const id = await fleet.job("j", replicatedJob(1, 1), {
    template: { RestartPolicy: { Condition: "any", Delay: 1e9 } },
  });
  for (let i = 0; i < 6; i++) {
    await end(fleet, working(fleet, id)[0]!, "failed");
    await fleet.clock.advance(1000);
    await fleet.clock.advance(500);
  }
  await end(fleet, working(fleet, id)[0]!, "complete");
  await fleet.clock.advance(1000);
  assert.deepEqual(shown(fleet, id), ["0 complete", "0 failed"]);
});

Deno.test("Jobs: an update is another run, and ends what is left of the one before (42)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.job("j", replicatedJob(2, 3)), onNodes = await fleet.job("g", { GlobalJob: {} });
  await end(fleet, working(fleet, id)[0]!, "complete");
  const [old, node] = [working(fleet, id).map(({ ID }) => ID), working(fleet, onNodes)[0]!.ID];
  fleet.agents.offline.add("a");
  for (const each of [id, onNodes]) await fleet.update(each, (spec) => ({ ...spec, Labels: { a: "b" } }));
  await fleet.clock.advance(500);
  for (const ID of [...old, node]) assert.equal(fleet.store.get("tasks", ID)!.DesiredState, "remove");
  assert.deepEqual(shown(fleet, id), ["0 assigned", "1 assigned"]);
  assert.deepEqual(shown(fleet, onNodes), ["a assigned"]);
  assert.equal(counts(fleet, id), "0/2 (0)");
  fleet.agents.offline.delete("a");
  fleet.agents.kick();
  await fleet.clock.advance(1000);
  for (const ID of [...old, node]) assert.equal(fleet.store.get("tasks", ID), undefined);
  assert.deepEqual(shown(fleet, id), ["0 running", "1 running"]);
  assert.equal(fleet.all(id).filter(({ Status }) => Status.State === "complete").length, 1);
});

Deno.test("Jobs: a restart that is due when the next run begins does not happen (42)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.job("j", replicatedJob(1, 1));
  await end(fleet, working(fleet, id)[0]!, "failed");
  await fleet.update(id, (spec) => ({ ...spec, Labels: { a: "b" } }));
  for (let second = 0; second < 30; second++) await fleet.clock.advance(1000);
  assert.deepEqual(shown(fleet, id), ["0 running"]);
  assert.equal(working(fleet, id).length, 1);
});

Deno.test("Global job: a node that returns as the next run begins is not asked for both (42)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.job("g", { GlobalJob: {} });
  let most = 0;
  fleet.store.subscribe(() => most = Math.max(most, working(fleet, id).length));
  // The node's change is handled first.
  await fleet.store.update((tx) => {
    const service = tx.get("services", id)!, node = tx.get("nodes", "a")!;
    const JobStatus = { JobIteration: { Index: 1 }, LastExecution: "" };
    tx.update("nodes", { ...node, Spec: { ...node.Spec, Labels: { a: "b" } } });
    tx.update("services", { ...service, JobStatus });
  });
  await fleet.clock.advance(500);
  assert.deepEqual([most, shown(fleet, id)], [1, ["a running"]]);
});

Deno.test("Jobs: of earlier runs the history keeps what it has room for (42)", async () => {
  await using fleet = await Fleet.of(["a"], () => "complete");
  await fleet.store.update((tx) => tx.create("clusters", makeCluster(3)));
  const ids = [await fleet.job("j", replicatedJob(2, 2)), await fleet.job("g", { GlobalJob: {} })];
  for (let i = 0; i < 6; i++) {
    for (const id of ids) await fleet.update(id, (spec) => ({ ...spec, Labels: { run: `${i}` } }));
    await fleet.clock.advance(1000);
  }
  const runs = (id: string, slot?: number) =>
    fleet.all(id).filter((task) => task.Slot === slot).map((task) => task.JobIteration!.Index);
  assert.deepEqual([runs(ids[0]!, 0), runs(ids[0]!, 1), runs(ids[1]!)], [[4, 5, 6], [4, 5, 6], [4, 5, 6]]);
  await fleet.update(ids[0]!, (spec) => ({ ...spec, Mode: replicatedJob(1, 1) }));
  await fleet.clock.advance(1000);
  assert.deepEqual(runs(ids[0]!, 1), []);
});

Deno.test("Global job: completes once on every node that matches (43)", async () => {
  await using fleet = await Fleet.of(["a", "b"], () => "complete");
  await fleet.node("paused", { availability: "pause" });
  const id = await fleet.job("g", { GlobalJob: {} });
  await fleet.clock.advance(60_000);
  assert.deepEqual(shown(fleet, id), ["a complete", "b complete"]);
  assert.equal(counts(fleet, id), "0/0 (2)");
  for (const availability of ["drain", "active", "pause", "active"] as const) {
    await fleet.availability("a", availability);
    await fleet.clock.advance(10_000);
  }
  for (const state of ["down", "ready"] as const) {
    await fleet.state("b", state);
    await fleet.clock.advance(10_000);
  }
  assert.deepEqual(shown(fleet, id), ["a complete", "b complete"]);
});

Deno.test("Global job: a node that joins or returns later runs it then (differs from 43)", async () => {
  await using fleet = await Fleet.of(["a"], () => "complete");
  await fleet.node("away", { state: "down" });
  const id = await fleet.job("g", { GlobalJob: {} });
  assert.deepEqual(shown(fleet, id), ["a complete"]);
  await fleet.node("new");
  await fleet.state("away", "ready");
  await fleet.clock.advance(500);
  assert.deepEqual(shown(fleet, id), ["a complete", "away complete", "new complete"]);
});

Deno.test("Global job: one that was cut short by a drain is run when the node is back, an outage changes nothing (43)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.job("g", { GlobalJob: {} });
  await fleet.state("b", "down");
  await fleet.clock.advance(60_000);
  await fleet.availability("a", "drain");
  await fleet.clock.advance(500);
  assert.deepEqual(shown(fleet, id), ["a shutdown", "b running"]);
  await fleet.availability("a", "active");
  await fleet.clock.advance(500);
  assert.deepEqual(shown(fleet, id), ["a running", "a shutdown", "b running"]);
  await fleet.removeNode("a");
  await fleet.clock.advance(500);
  assert.deepEqual(shown(fleet, id), ["b running"]);
});

Deno.test("Replicated job: a task on a node that is lost is run elsewhere; its result counts once", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.job("j", replicatedJob(1, 1));
  const [first] = working(fleet, id);
  await fleet.state(first!.NodeID, "down");
  for (let second = 0; second < 6; second++) await fleet.clock.advance(1000);
  const [other] = working(fleet, id);
  assert.notEqual(other!.NodeID, first!.NodeID);
  await fleet.agents.report(first!.ID, "complete");
  await end(fleet, other!, "failed");
  for (let second = 0; second < 10; second++) await fleet.clock.advance(1000);
  assert.deepEqual(shown(fleet, id), ["0 complete", "0 failed"]);
  assert.equal(counts(fleet, id), "0/1 (1)");
});

Deno.test("Jobs: a new leader goes on where the old one was", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.job("j", replicatedJob(2, 4)), onNodes = await fleet.job("g", { GlobalJob: {} });
  await end(fleet, working(fleet, id)[0]!, "complete");
  await end(fleet, working(fleet, onNodes)[0]!, "complete");
  const before = [shown(fleet, id), shown(fleet, onNodes)];
  await fleet.stepDown();
  await fleet.agents.report(working(fleet, id)[0]!.ID, "complete");
  await fleet.agents.report(working(fleet, onNodes)[0]!.ID, "failed");
  fleet.lead();
  for (let second = 0; second < 10; second++) await fleet.clock.advance(1000);
  assert.deepEqual(before[0], ["0 complete", "1 running", "2 running"]);
  assert.deepEqual(shown(fleet, id), ["0 complete", "1 complete", "2 running", "3 running"]);
  const onA = before[1]!.includes("a complete") ? "b" : "a";
  assert.deepEqual(
    shown(fleet, onNodes),
    [`${onA} failed`, `${onA} running`, `${onA === "a" ? "b" : "a"} complete`].sort(),
  );
});

Deno.test("Jobs: the end of the service is the end of all its tasks", async () => {
  await using fleet = await Fleet.of(["a"]);
  const ids = [await fleet.job("j", replicatedJob(1, 2)), await fleet.job("g", { GlobalJob: {} })];
  await end(fleet, working(fleet, ids[0]!)[0]!, "complete");
  await fleet.store.update((tx) => ids.forEach((id) => tx.delete("services", id)));
  await fleet.clock.advance(1000);
  for (const id of ids) assert.deepEqual(fleet.all(id), []);
});
