import assert from "node:assert/strict";
import { TaskReaper, tasksToReap } from "../../../manager/cleaner/task_reaper.ts";
import { newTask } from "../../../manager/task/task.ts";
import type { Task } from "../../../api/task.ts";
import { Fleet, makeCluster, makeService } from "../orchestrator/harness.ts";

const service = makeService("web", { Replicated: { Replicas: 1 } });

function ended(fleet: Fleet, slot: number): Task {
  const task = newTask(service, { slot }, undefined, fleet.clock, fleet.random);
  return { ...task, DesiredState: "shutdown", Status: { ...task.Status, State: "failed" } };
}

async function crash(fleet: Fleet, id: string, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
    await fleet.clock.advance(6000);
  }
}

Deno.test("TaskReaper: keeps as many tasks per slot as the cluster says, the newest (71)", async () => {
  await using fleet = new Fleet();
  await fleet.store.update((tx) => tx.create("clusters", makeCluster(3)));
  await fleet.node("a");
  fleet.lead();
  const id = await fleet.replicated("web", 1);
  await crash(fleet, id, 6);
  assert.deepEqual(fleet.all(id).map((task) => task.Status.State), ["failed", "failed", "running"]);
  await fleet.store.update((tx) => {
    const cluster = tx.get("clusters", "cluster-id")!;
    const Orchestration = { TaskHistoryRetentionLimit: 1 };
    tx.update("clusters", { ...cluster, Spec: { ...cluster.Spec, Orchestration } });
  });
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.all(id).map((task) => task.Status.State), ["running"]);
});

Deno.test("TaskReaper: keeps five without a cluster object, all with -1, and every limited attempt (71)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 1);
  await crash(fleet, id, 8);
  assert.equal(fleet.all(id).length, 5);
  await fleet.store.update((tx) => tx.create("clusters", makeCluster(-1)));
  await crash(fleet, id, 8);
  assert.equal(fleet.all(id).length, 13);
  await fleet.store.update((tx) => tx.delete("clusters", "cluster-id"));
  const limited = await fleet.replicated("limited", 1, { template: { RestartPolicy: { MaxAttempts: 7 } } });
  await crash(fleet, limited, 7);
  assert.equal(fleet.all(limited).length, 8);
});

Deno.test("TaskReaper: never deletes what an agent may still run (71)", async () => {
  await using fleet = await Fleet.of([]);
  const tasks = [ended(fleet, 1), ended(fleet, 1), ended(fleet, 1)];
  const stopping: Task = { ...tasks[1]!, Status: { ...tasks[1]!.Status, State: "running" } };
  const live = newTask(service, { slot: 1 }, undefined, fleet.clock, fleet.random);
  const list = [tasks[0]!, stopping, tasks[2]!, live];
  assert.deepEqual(tasksToReap(list, 1), [tasks[0], tasks[2]]);
  assert.deepEqual(tasksToReap(list, 3), [tasks[0]]);
  assert.deepEqual(tasksToReap(list, -1), []);
});

Deno.test("TaskReaper: a slot at rest keeps the task that says so, whatever the limit (71)", async () => {
  await using fleet = new Fleet(() => "complete");
  await fleet.store.update((tx) => tx.create("clusters", makeCluster(0)));
  await fleet.node("a");
  fleet.lead();
  const once = { template: { RestartPolicy: { Condition: "none" as const } } };
  const ids = [await fleet.replicated("job", 1, once), await fleet.global("probe", once)];
  for (let leader = 0; leader < 3; leader++) {
    await fleet.clock.advance(10_000);
    for (const id of ids) assert.equal(fleet.all(id).length, 1);
    await fleet.stepDown();
    fleet.lead();
  }
  assert.equal(fleet.agents.log.filter((line) => line.endsWith("complete")).length, 2);
});

Deno.test("TaskReaper: a task's own attempts are kept while its service asks for less (71)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const options = { UpdateConfig: { Parallelism: 1 } };
  const template = { RestartPolicy: { MaxAttempts: 7 } };
  const id = await fleet.replicated("web", 1, { ...options, template });
  await crash(fleet, id, 6);
  await fleet.store.update((tx) => {
    const current = tx.get("services", id)!;
    const TaskTemplate = { ...current.Spec.TaskTemplate, RestartPolicy: { MaxAttempts: 1 } };
    const UpdateStatus = { State: "paused" as const, Message: "" };
    tx.update("services", { ...current, Spec: { ...current.Spec, TaskTemplate }, UpdateStatus });
  });
  await crash(fleet, id, 1);
  assert.equal(fleet.all(id).length, 8);
});

Deno.test("TaskReaper: deletes tasks marked remove once unassigned or ended, keeps running ones (72)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2);
  fleet.agents.offline.add("a");
  await fleet.scale(id, 1);
  await fleet.clock.advance(10_000);
  assert.equal(fleet.all(id).length, 2);
  fleet.agents.offline.delete("a");
  fleet.agents.kick();
  await fleet.clock.advance(1000);
  assert.equal(fleet.all(id).length, 1);

  const stuck = await fleet.replicated("stuck", 2, { template: { Runtime: "container" } });
  await fleet.scale(stuck, 1);
  await fleet.clock.advance(1000);
  assert.equal(fleet.all(stuck).length, 1);
});

Deno.test("TaskReaper: orphaned tasks without a service go (72)", async () => {
  await using fleet = await Fleet.of([]);
  const task = ended(fleet, 1);
  await fleet.store.update((tx) => {
    tx.create("tasks", { ...task, Status: { ...task.Status, State: "orphaned" } });
  });
  await fleet.clock.advance(1000);
  assert.equal(fleet.store.get("tasks", task.ID), undefined);
});

Deno.test("TaskReaper: a new leader reaps what the last one left", async () => {
  await using fleet = new Fleet();
  const removed: Task = { ...ended(fleet, 2), DesiredState: "remove" };
  const running = newTask(service, { slot: 1 }, undefined, fleet.clock, fleet.random);
  const history = Array.from({ length: 7 }, () => ended(fleet, 1));
  for (const task of [...history, removed, running]) {
    await fleet.store.update((tx) => tx.create("tasks", task));
  }
  const { store, clock, random } = fleet;
  const reaper = new TaskReaper({ store, clock, random });
  reaper.start();
  await clock.advance(1000);
  const left = store.all("tasks").map(({ ID }) => ID);
  assert.deepEqual(left, [...history.slice(3), running].map(({ ID }) => ID));
  await reaper.stop();
});

Deno.test("TaskReaper: few events wait 250 ms, more than 1000 do not (73)", async () => {
  await using fleet = new Fleet();
  const { store, clock, random } = fleet;
  const reaper = new TaskReaper({ store, clock, random });
  reaper.start();
  await clock.advance(0);
  const removed = () => ({ ...ended(fleet, 1), DesiredState: "remove" as const });
  await store.update((tx) => tx.create("tasks", removed()));
  await clock.advance(249);
  assert.equal(store.count("tasks"), 1);
  await clock.advance(1);
  assert.equal(store.count("tasks"), 0);
  await store.batch(Array.from({ length: 1001 }, removed), (tx, task) => tx.create("tasks", task));
  await clock.advance(0);
  assert.ok(store.count("tasks") < 1001);
  await clock.advance(250);
  assert.equal(store.count("tasks"), 0);
  await reaper.stop();
});
