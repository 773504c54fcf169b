/** Rollouts on devices that swap by themselves: what the manager asks of them, and makes of what they say. */
import assert from "node:assert/strict";
import type { UpdateConfig } from "../../../api/service.ts";
import type { SwapReport } from "../../../api/swap.ts";
import type { Task } from "../../../api/task.ts";
import { controlRollout, rolloutView } from "../../../manager/control/rollouts.ts";
import { rollbackService } from "../../../manager/control/services.ts";
import { Fleet, type NodeOptions, versionOf } from "../orchestrator/harness.ts";

const ROLLOUT = { DeviceRollback: 60e9 };
const CONFIG: UpdateConfig = { Parallelism: 1, Monitor: 5e9, FailureAction: "pause", Rollout: ROLLOUT };

/** A fleet whose new tasks are made ready and then do nothing that is not reported. */
async function fleetOf(
  count: number,
  config: Partial<UpdateConfig> = {},
  options: NodeOptions = { swaps: true },
): Promise<{ fleet: Fleet; id: string; names: string[] }> {
  const names = Array.from({ length: count }, (_, i) => `device-${i}`);
  const fleet = new Fleet((task) => versionOf(task) === "" ? "running" : undefined);
  for (const name of names) await fleet.node(name, options);
  fleet.lead();
  await fleet.clock.advance(0);
  const id = await fleet.global("probe", { UpdateConfig: { ...CONFIG, ...config } });
  return { fleet, id, names };
}

function tasksOf(fleet: Fleet, id: string, version: string): Task[] {
  return fleet.all(id).filter((task) => versionOf(task) === version);
}

/** The new task that was given the word to begin. */
function begun(fleet: Fleet, id: string, version = "v2"): Task[] {
  return tasksOf(fleet, id, version).filter((task) =>
    task.DesiredState === "running" && task.Status.State === "ready"
  );
}

/** The device has swapped the task in, and it has proved itself. */
async function proves(fleet: Fleet, task: Task): Promise<void> {
  await fleet.agents.report(task.ID, "running");
  await fleet.clock.advance(6_000);
  await fleet.agents.report(task.Swap!.With, "shutdown");
  await fleet.clock.advance(10_000);
}

async function goesBack(fleet: Fleet, task: Task): Promise<void> {
  const Swap: SwapReport = { Kind: "rolled_back", Reason: "task: non-zero exit (1)" };
  await fleet.agents.report(task.ID, "failed", { Swap, Err: Swap.Reason });
  await fleet.clock.advance(10_000);
}

Deno.test("Updater: a device that swaps by itself keeps both tasks wanted until it says how that ended", async () => {
  const { fleet, id } = await fleetOf(2);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  const [first, ...others] = begun(fleet, id);
  assert.equal(others.length, 0, "one at a time");
  assert.equal(first!.Swap!.Deadline, 60e9);
  assert.equal(first!.Swap!.Monitor, 5e9);
  assert.equal(fleet.store.get("tasks", first!.Swap!.With)!.DesiredState, "running");
  await fleet.agents.report(first!.ID, "running");
  await fleet.clock.advance(3_600_000);
  assert.equal(
    fleet.store.get("tasks", first!.Swap!.With)!.DesiredState,
    "running",
    "the device has the word",
  );
  assert.equal(fleet.service(id).UpdateStatus!.State, "updating");
  await fleet.agents.report(first!.Swap!.With, "shutdown");
  await fleet.clock.advance(10_000);
  await proves(fleet, begun(fleet, id)[0]!);
  assert.equal(fleet.service(id).UpdateStatus!.State, "completed");
  assert.deepEqual(fleet.versions(id), { v2: 2 });
  assert.equal(fleet.wanted(id).length, 2);
});

Deno.test("Updater: a device that went back is one failure, and is not fought with", async () => {
  const { fleet, id } = await fleetOf(3);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const task = begun(fleet, id)[0]!;
  await fleet.agents.report(task.ID, "running");
  // Told long after: the device was out of reach meanwhile.
  await fleet.clock.advance(3_600_000);
  await goesBack(fleet, task);
  const { State, Rollout } = fleet.service(id).UpdateStatus!;
  assert.equal(State, "paused");
  assert.deepEqual(Rollout!.Failures, [{ Place: task.NodeID, Stage: 0 }]);
  await fleet.clock.advance(3_600_000);
  assert.deepEqual(fleet.versions(id), { "": 3 });
  assert.equal(tasksOf(fleet, id, "v2").length, 1, "nothing follows it");
});

Deno.test("Updater: where failures are allowed, the device that went back keeps the old version, also when that is run again", async () => {
  const { fleet, id } = await fleetOf(2, { MaxFailureRatio: 0.5 });
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const bad = begun(fleet, id)[0]!;
  await goesBack(fleet, bad);
  await proves(fleet, begun(fleet, id)[0]!);
  assert.equal(fleet.service(id).UpdateStatus!.State, "completed");
  assert.deepEqual(fleet.versions(id), { "": 1, v2: 1 });
  await fleet.agents.report(bad.Swap!.With, "failed");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { "": 1, v2: 1 });
  const { index } = fleet.store;
  await fleet.clock.advance(3_600_000);
  assert.equal(fleet.store.index, index, "writes nothing once it is over");
});

Deno.test("Updater: an old task that crashes before the swap is run again, and swapped instead", async () => {
  const { fleet, id } = await fleetOf(1);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const before = begun(fleet, id)[0]!;
  await fleet.agents.report(before.Swap!.With, "failed");
  await fleet.clock.advance(10_000);
  const { Swap } = fleet.store.get("tasks", before.ID)!;
  assert.notEqual(Swap!.With, before.Swap!.With);
  const old = fleet.store.get("tasks", Swap!.With)!;
  assert.deepEqual([versionOf(old), old.Status.State], ["", "running"]);
  await proves(fleet, fleet.store.get("tasks", before.ID)!);
  assert.deepEqual(fleet.versions(id), { v2: 1 });
});

Deno.test("Updater: a newer spec takes the place of one that is in the middle of a swap", async () => {
  const { fleet, id } = await fleetOf(1);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const second = begun(fleet, id)[0]!;
  await fleet.agents.report(second.ID, "running");
  await fleet.release(id, "v3");
  await fleet.clock.advance(1_000);
  const third = begun(fleet, id, "v3")[0]!;
  assert.equal(third.Swap!.With, second.Swap!.With, "what proved itself is kept");
  assert.equal(fleet.store.get("tasks", second.ID)!.DesiredState, "shutdown");
  await proves(fleet, third);
  assert.deepEqual(fleet.versions(id), { v3: 1 });
});

Deno.test("Updater: a rollback of the service ends what is in the middle of a swap, and leaves the old task", async () => {
  const { fleet, id } = await fleetOf(4, { Parallelism: 2, FailureAction: "rollback" });
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const [bad, other] = begun(fleet, id);
  await fleet.agents.report(other!.ID, "running");
  await goesBack(fleet, bad!);
  assert.equal(fleet.service(id).UpdateStatus!.State, "rollback_completed");
  assert.deepEqual(fleet.versions(id), { "": 4 });
  assert.equal(fleet.store.get("tasks", other!.ID)!.DesiredState, "shutdown");
});

Deno.test("Updater: a device whose agent does not swap by itself is updated as ever", async () => {
  const { fleet, id } = await fleetOf(1, {}, {});
  await using _ = fleet;
  fleet.agents.fate = () => "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { v2: 1 });
  assert.ok(fleet.all(id).every((task) => task.Swap === undefined));
});

Deno.test("Updater: the old task's room on the node is its successor's", async () => {
  const Reservations = {
    MemoryBytes: 5e9,
    GenericResources: [{ NamedResourceSpec: { Kind: "gpu", Value: "a" } }],
  };
  const GenericResources = [{ NamedResourceSpec: { Kind: "gpu", Value: "a" } }];
  const fleet = new Fleet((task) => versionOf(task) === "" ? "running" : undefined);
  await using _ = fleet;
  await fleet.node("n", { swaps: true, resources: { NanoCPUs: 4e9, MemoryBytes: 8e9, GenericResources } });
  fleet.lead();
  await fleet.clock.advance(0);
  const id = await fleet.global("probe", { UpdateConfig: CONFIG, template: { Resources: { Reservations } } });
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const next = begun(fleet, id)[0]!;
  assert.deepEqual(next.AssignedGenericResources, GenericResources);
  await proves(fleet, next);
  assert.deepEqual(fleet.versions(id), { v2: 1 });
  // The claim has not become free with the old task's end.
  await fleet.global("greedy", {
    template: { Resources: { Reservations: { GenericResources: Reservations.GenericResources } } },
  });
  await fleet.clock.advance(10_000);
  assert.equal(fleet.running("greedy-id").length, 0);
});

for (const phase of ["being made ready", "given the word", "in the middle"] as const) {
  Deno.test(`Updater: pause, abort and a newer spec take effect within 10 s while a device is ${phase}`, async () => {
    for (const act of ["paused", "aborted", "newer"] as const) {
      const { fleet, id } = await fleetOf(3);
      await using _ = fleet;
      const gone = phase === "being made ready";
      // The first device is busy making the new version ready.
      if (gone) { for (const node of ["device-0", "device-1", "device-2"]) fleet.agents.offline.add(node); }
      await fleet.release(id, "v2");
      await fleet.clock.advance(1_000);
      const [task] = gone ? tasksOf(fleet, id, "v2") : begun(fleet, id);
      if (phase === "in the middle") await fleet.agents.report(task!.ID, "running");
      if (act === "newer") await fleet.release(id, "v3");
      else {
        await fleet.store.update((tx) => {
          const service = tx.get("services", id)!,
            Rollout = { ...service.UpdateStatus!.Rollout!, State: act };
          tx.update("services", { ...service, UpdateStatus: { State: "paused", Message: act, Rollout } });
        });
      }
      await fleet.clock.advance(10_000);
      const { DesiredState } = fleet.store.get("tasks", task!.ID)!;
      if (act === "newer") {
        assert.equal(DesiredState, "shutdown");
        assert.equal(tasksOf(fleet, id, "v3").length, 1);
      } else {
        // What has begun goes on; nothing else does.
        assert.equal(DesiredState, phase === "in the middle" ? "running" : "shutdown");
        assert.equal(tasksOf(fleet, id, "v2").length, 1);
      }
    }
  });
}

Deno.test("Updater: a rollout that is resumed goes to the device again from which the new task was taken back", async () => {
  const { fleet, id } = await fleetOf(1);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const set = (State: "paused" | "rolling") =>
    fleet.store.update((tx) => {
      const service = tx.get("services", id)!, Rollout = { ...service.UpdateStatus!.Rollout!, State };
      const UpdateStatus = {
        State: State === "paused" ? "paused" as const : "updating" as const,
        Message: "",
        Rollout,
      };
      tx.update("services", { ...service, UpdateStatus });
    });
  await set("paused");
  await fleet.clock.advance(10_000);
  assert.equal(begun(fleet, id).length, 0);
  await set("rolling");
  await fleet.clock.advance(10_000);
  await proves(fleet, begun(fleet, id)[0]!);
  assert.deepEqual(fleet.versions(id), { v2: 1 });
});

const STAGES = [{ Percent: 50, Bake: 600e9 }, { Percent: 100 }];

Deno.test("Updater: a device that remembers a version as bad is deferred, and no failure", async () => {
  const { fleet, id } = await fleetOf(2);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const bad = begun(fleet, id)[0]!;
  const Swap: SwapReport = { Kind: "remembered_bad", Reason: "it failed on this device" };
  await fleet.store.update((tx) => {
    const task = tx.get("tasks", bad.ID)!;
    tx.update("tasks", { ...task, Status: { ...task.Status, Swap } });
  });
  await fleet.clock.advance(1_000);
  await proves(fleet, begun(fleet, id).find((task) => task.ID !== bad.ID)!);
  const view = rolloutView(fleet.store, fleet.service(id), fleet.clock.now());
  assert.deepEqual([view.State, view.Done, view.Failed, view.Deferred], ["completed", 1, 0, 1]);
  assert.deepEqual(view.DeferredPlaces, [
    { Place: bad.NodeID, Reason: "remembered bad: it failed on this device" },
  ]);
  const { index } = fleet.store;
  await fleet.clock.advance(3_600_000);
  assert.equal(fleet.store.index, index, "writes nothing meanwhile");
  await controlRollout(fleet.store, fleet.clock, id, "retry");
  await fleet.clock.advance(1_000);
  const again = begun(fleet, id)[0]!;
  assert.equal(again.Swap!.Retry, true);
  assert.equal(again.Swap!.With, bad.Swap!.With);
  await proves(fleet, again);
  assert.deepEqual(fleet.versions(id), { v2: 2 });
});

Deno.test("Rollout: a retry tries the devices that failed, and does not bake the whole stage anew", async () => {
  const { fleet, id } = await fleetOf(4, { Parallelism: 2, Rollout: { ...ROLLOUT, Stages: STAGES } });
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  for (const task of begun(fleet, id)) await proves(fleet, task);
  const rollout = () => fleet.service(id).UpdateStatus!.Rollout!;
  assert.equal(rollout().State, "baking");
  const bakeStarted = rollout().BakeStartedAt;
  const bad = tasksOf(fleet, id, "v2")[0]!;
  await fleet.clock.advance(300_000);
  await fleet.agents.report(bad.ID, "failed", {});
  await fleet.clock.advance(1_000);
  assert.equal(rollout().State, "paused");
  await controlRollout(fleet.store, fleet.clock, id, "retry");
  await fleet.clock.advance(20_000);
  fleet.agents.fate = () => "running";
  fleet.agents.kick();
  await fleet.clock.advance(20_000);
  assert.equal(rollout().State, "baking");
  assert.equal(rollout().BakeStartedAt, bakeStarted);
  await fleet.clock.advance(230_000);
  assert.equal(rollout().State, "baking");
  await fleet.clock.advance(30_000);
  assert.equal(rollout().Stage, 1);
});

Deno.test("Updater: a device whose swap waits is deferred with its reason, and converges later under the same rollout", async () => {
  const { fleet, id } = await fleetOf(3);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  const locked = begun(fleet, id)[0]!;
  const tell = (Swap: SwapReport | undefined) =>
    fleet.store.update((tx) => {
      const task = tx.get("tasks", locked.ID)!, { Swap: _swap, ...status } = task.Status;
      tx.update("tasks", { ...task, Status: { ...status, ...(Swap && { Swap }) } });
    });
  await tell({ Kind: "locked", Reason: "the device's update lock is set" });
  await fleet.clock.advance(1_000);
  for (let n = 0; n < 2; n++) {
    await proves(fleet, begun(fleet, id).find((task) => task.ID !== locked.ID)!);
  }
  const view = () => rolloutView(fleet.store, fleet.service(id), fleet.clock.now());
  assert.deepEqual([view().State, view().Done, view().Total, view().Deferred], ["completed", 2, 2, 1]);
  assert.deepEqual(view().DeferredPlaces, [
    { Place: locked.NodeID, Reason: "locked: the device's update lock is set" },
  ]);
  await tell(undefined);
  await fleet.clock.advance(1_000);
  await proves(fleet, fleet.store.get("tasks", locked.ID)!);
  assert.deepEqual(fleet.versions(id), { v2: 3 });
  assert.equal(view().Deferred, 0);
});

Deno.test("Updater: a device that becomes free after the end is told to begin as one that came back, and a pause holds for it", async () => {
  for (const paused of [true, false]) {
    const { fleet, id } = await fleetOf(2, { Parallelism: 2 });
    await using _ = fleet;
    const Swap: SwapReport = { Kind: "window", Reason: "the window for updates is closed" };
    // It says so before it is given the word.
    fleet.agents.offline.add("device-0");
    await fleet.release(id, "v2");
    await fleet.clock.advance(1_000);
    const held = tasksOf(fleet, id, "v2").find((task) => task.NodeID === "device-0")!;
    await fleet.store.update((tx) => {
      const task = tx.get("tasks", held.ID)!;
      tx.update("tasks", { ...task, Status: { ...task.Status, State: "ready", Swap } });
    });
    await fleet.clock.advance(1_000);
    await proves(fleet, begun(fleet, id)[0]!);
    assert.equal(fleet.service(id).UpdateStatus!.State, "completed");
    if (paused) await controlRollout(fleet.store, fleet.clock, id, "pause");
    await fleet.clock.advance(1_000);
    await fleet.store.update((tx) => {
      const task = tx.get("tasks", held.ID)!, { Swap: _swap, ...status } = task.Status;
      tx.update("tasks", { ...task, Status: status });
    });
    await fleet.clock.advance(10_000);
    const { DesiredState, Rollout } = fleet.store.get("tasks", held.ID)!;
    assert.equal(DesiredState, paused ? "shutdown" : "running");
    if (!paused) assert.equal(Rollout!.Returned, true);
  }
});

Deno.test("Updater: a paused rollout takes back what an earlier one had not begun, and comes to rest", async () => {
  const { fleet, id } = await fleetOf(4, { Parallelism: 0 });
  await using _ = fleet;
  const Swap: SwapReport = { Kind: "locked", Reason: "the device's update lock is set" };
  await fleet.release(id, "v2");
  await fleet.clock.advance(1_000);
  for (const { ID } of tasksOf(fleet, id, "v2")) await fleet.agents.report(ID, "ready", { Swap });
  assert.equal(fleet.wanted(id).length, 8);
  // The next one is paused as soon as it has begun. Were its places looked at over and over, this would not end.
  const paused = Promise.withResolvers<unknown>();
  const unsubscribe = fleet.store.subscribe(() => {
    const { Spec, UpdateStatus } = fleet.service(id), [version] = Spec.TaskTemplate.ProcessSpec!.Args ?? [];
    if (version !== "v3" || UpdateStatus?.Rollout === undefined) return;
    unsubscribe();
    paused.resolve(controlRollout(fleet.store, fleet.clock, id, "pause"));
  }, "test");
  await fleet.release(id, "v3");
  await fleet.clock.advance(10);
  await paused.promise;
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(id).UpdateStatus!.State, "paused");
  assert.deepEqual(fleet.wanted(id).map(versionOf), ["", "", "", ""]);
});

Deno.test("Updater: a rollback is swapped in by the device, too, and waits for no window and nobody's consent", async () => {
  const Rollout = { ...ROLLOUT, Apply: { Cron: "0 0 1 1 *", Grace: 60e9 }, Consent: true as const };
  const { fleet, id } = await fleetOf(1, { Rollout });
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(10_000);
  await proves(fleet, begun(fleet, id)[0]!);
  await rollbackService(fleet.store, fleet.clock, id, fleet.service(id).Version.Index);
  await fleet.clock.advance(10_000);
  const Swap = fleet.wanted(id).find((task) => versionOf(task) === "")!.Swap!;
  assert.deepEqual([Swap.Apply, Swap.Consent], [undefined, undefined]);
  const present = fleet.store.get("tasks", Swap.With)!;
  assert.deepEqual([versionOf(present), present.DesiredState], ["v2", "running"], "kept until then");
});
