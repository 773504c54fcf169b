import assert from "node:assert/strict";
import type { UpdateConfig } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { Fleet, versionOf } from "../orchestrator/harness.ts";

const SECOND = 1e9;

function config(options: Partial<UpdateConfig>): { UpdateConfig: UpdateConfig } {
  return { UpdateConfig: { Parallelism: 1, ...options } };
}

/** Tasks of a version fail as soon as they shall run. */
const failing = (version: string) => (task: Task) =>
  versionOf(task) === version ? "failed" as const : "running" as const;

/** Tasks of the new version that are wanted but do not run yet. */
function inFlight(fleet: Fleet, id: string, version: string): number {
  return fleet.wanted(id).filter((t) => versionOf(t) === version && t.Status.State !== "running").length;
}

Deno.test("Updater: replaces every task, one after another, and says so", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 4);
  assert.equal(fleet.service(id).UpdateStatus, undefined);
  await fleet.release(id, "v2");
  assert.equal(fleet.service(id).UpdateStatus?.State, "updating");
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { v2: 4 });
  assert.deepEqual(fleet.slots(id), [1, 2, 3, 4]);
  const status = fleet.service(id).UpdateStatus!;
  assert.equal(status.State, "completed");
  assert.equal(status.Message, "update completed");
  assert.ok(status.StartedAt && status.CompletedAt);
});

Deno.test("Updater: at most `Parallelism` slots are in flight (44)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 6, config({ Parallelism: 2 }));
  fleet.agents.fate = (task) => versionOf(task) === "v2" ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(10_000);
  assert.equal(inFlight(fleet, id, "v2"), 2);
  assert.deepEqual(fleet.versions(id), { "": 4 });
  fleet.agents.fate = () => "running";
  fleet.agents.kick();
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { v2: 6 });
});

Deno.test("Updater: parallelism 0 replaces all at once (44)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 6, config({ Parallelism: 0 }));
  fleet.agents.fate = (task) => versionOf(task) === "v2" ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  assert.equal(inFlight(fleet, id, "v2"), 6);
});

Deno.test("Updater: waits `Delay` between the slots (44)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 3, config({ Delay: 10 * SECOND }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(9000);
  assert.deepEqual(fleet.versions(id), { "": 2, v2: 1 });
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.versions(id), { "": 1, v2: 2 });
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.versions(id), { v2: 3 });
});

Deno.test("Updater: stop-first starts the new task only once the old one stopped (45)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 1);
  fleet.agents.offline.add("a");
  await fleet.release(id, "v2");
  await fleet.clock.advance(50_000);
  assert.deepEqual(fleet.all(id).map((task) => task.DesiredState), ["shutdown", "ready"]);
  fleet.agents.offline.delete("a");
  fleet.agents.kick();
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.versions(id), { v2: 1 });
});

Deno.test("Updater: stop-first goes on when the old task's node is lost (45)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  await fleet.state("a", "down");
  await fleet.release(id, "v2");
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.placement(id), { b: 2 });
  assert.deepEqual(fleet.versions(id), { v2: 2 });
});

Deno.test("Updater: start-first stops the old task only once the new one runs (46)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2, config({ Order: "start-first", Parallelism: 0 }));
  fleet.agents.fate = (task) => versionOf(task) === "v2" ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.versions(id), { "": 2 });
  fleet.agents.fate = () => "running";
  fleet.agents.kick();
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.versions(id), { v2: 2 });
  assert.equal(fleet.wanted(id).length, 2);
});

Deno.test("Updater: start-first keeps the old task until the new one has held, whatever the action on failure (46)", async () => {
  for (const FailureAction of ["pause", "continue", "rollback"] as const) {
    await using fleet = await Fleet.of(["a", "b"]);
    const id = await fleet.replicated("web", 1, config({ Order: "start-first", FailureAction }));
    const [old] = fleet.running(id);
    await fleet.release(id, "v2");
    await fleet.clock.advance(4000);
    assert.deepEqual(fleet.versions(id), { "": 1, v2: 1 }, FailureAction);
    if (FailureAction === "pause") {
      fleet.agents.fate = failing("v2");
      await fleet.agents.report(fleet.running(id).find(({ ID }) => ID !== old!.ID)!.ID, "failed");
      await fleet.clock.advance(60_000);
      assert.equal(fleet.service(id).UpdateStatus?.State, "paused");
      assert.deepEqual(fleet.running(id).map(({ ID }) => ID), [old!.ID]);
    } else {
      await fleet.clock.advance(3000);
      assert.deepEqual(fleet.versions(id), { v2: 1 }, FailureAction);
    }
  }
});

Deno.test("Updater: a start-first task that first fails leaves no second copy behind (46)", async () => {
  let failures = 1;
  const fate = (task: Task) =>
    versionOf(task) === "v2" && failures-- > 0 ? "failed" as const : "running" as const;
  await using fleet = await Fleet.of(["a", "b"], fate);
  const id = await fleet.replicated("web", 1, config({ Order: "start-first", FailureAction: "continue" }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(30_000);
  assert.deepEqual(fleet.versions(id), { v2: 1 });
  assert.equal(fleet.wanted(id).length, 1);
});

Deno.test("Updater: pauses at the first failure and stays so until the next update (47)", async () => {
  await using fleet = await Fleet.of(["a"], failing("v2"));
  const id = await fleet.replicated("web", 3);
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  const status = fleet.service(id).UpdateStatus!;
  assert.equal(status.State, "paused");
  assert.match(status.Message, /^update paused due to failure or early termination of task [a-z0-9]{25}$/);
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { "": 2 });
  await fleet.release(id, "v3");
  await fleet.clock.advance(30_000);
  assert.deepEqual(fleet.versions(id), { v3: 3 });
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

Deno.test("Updater: continue waits out its monitor period before it says that it is done (48)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2, config({ FailureAction: "continue", Monitor: 20 * SECOND }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(19_000);
  assert.deepEqual(fleet.versions(id), { v2: 2 });
  assert.equal(fleet.service(id).UpdateStatus?.State, "updating");
  await fleet.clock.advance(2000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

Deno.test("Updater: continue replaces all in spite of failures (48)", async () => {
  await using fleet = await Fleet.of(["a"], failing("v2"));
  const id = await fleet.replicated("web", 3, config({ FailureAction: "continue" }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.wanted(id).map(versionOf), ["v2", "v2", "v2"]);
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

/** A service of 4 with two tasks of v2, one of which has just failed. */
async function failHalfWay(fleet: Fleet): Promise<string> {
  const options = config({ FailureAction: "rollback", Delay: 2 * SECOND, Monitor: 10 * SECOND });
  const id = await fleet.replicated("web", 4, options);
  await fleet.release(id, "v2");
  await fleet.clock.advance(3000);
  const [victim] = fleet.running(id).filter((task) => versionOf(task) === "v2");
  await fleet.agents.report(victim!.ID, "failed");
  await fleet.clock.advance(0);
  return id;
}

Deno.test("Updater: rollback restores the previous spec everywhere (49)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await failHalfWay(fleet);
  assert.equal(fleet.service(id).UpdateStatus?.State, "rollback_started");
  assert.equal(fleet.service(id).PreviousSpec, undefined);
  await fleet.clock.advance(30_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "rollback_completed");
  assert.equal(fleet.service(id).UpdateStatus?.Message, "rollback completed");
  assert.deepEqual(fleet.versions(id), { "": 4 });
});

Deno.test("Updater: a rollback keeps the time at which the update was started (49)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const started = new Date(fleet.clock.now() + 200).toISOString();
  const id = await failHalfWay(fleet);
  assert.equal(fleet.service(id).UpdateStatus?.StartedAt, started);
  await fleet.clock.advance(30_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "rollback_completed");
  assert.equal(fleet.service(id).UpdateStatus?.StartedAt, started);
});

Deno.test("Updater: a rollback that fails only pauses (49)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await failHalfWay(fleet);
  fleet.agents.fate = failing("");
  await fleet.clock.advance(30_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "rollback_paused");
});

Deno.test("Updater: the failure ratio is tolerated, one more is not (50)", async () => {
  let failures = 2;
  const fate = (task: Task) =>
    versionOf(task) !== "" && failures-- > 0 ? "failed" as const : "running" as const;
  await using fleet = await Fleet.of(["a"], fate);
  const options = config({ MaxFailureRatio: 0.5, Monitor: SECOND });
  const id = await fleet.replicated("web", 4, options);
  await fleet.release(id, "v2");
  await fleet.clock.advance(30_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
  failures = 3;
  await fleet.release(id, "v3");
  await fleet.clock.advance(30_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "paused");
});

Deno.test("Updater: a failure after the monitor period does not count (50)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2, config({ Delay: 10 * SECOND, Monitor: 20 * SECOND }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(12_000);
  assert.deepEqual(fleet.versions(id), { v2: 2 });
  await fleet.clock.advance(10_000);
  const first = fleet.running(id).find((task) => task.Slot === 1)!;
  await fleet.agents.report(first.ID, "failed");
  await fleet.clock.advance(20_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

Deno.test("Updater: a new update ends the old one and converges to the newest (51)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 4, config({ Delay: 10 * SECOND }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(12_000);
  assert.deepEqual(fleet.versions(id), { "": 2, v2: 2 });
  await fleet.release(id, "v3");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v3: 4 });
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

Deno.test("Updater: a change of placement that still matches restarts nothing (52)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2);
  const before = fleet.running(id);
  await fleet.template(id, { Placement: { Constraints: ["node.hostname==a"] } });
  await fleet.clock.advance(30_000);
  assert.deepEqual(fleet.placement(id), { a: 2 });
  const kept = before.find((task) => task.NodeID === "a")!;
  assert.ok(fleet.running(id).some((task) => task.ID === kept.ID));
});

Deno.test("Updater: a raised ForceUpdate replaces all (53)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2);
  const before = fleet.running(id).map((task) => task.ID);
  await fleet.template(id, { ForceUpdate: 1 });
  await fleet.clock.advance(30_000);
  assert.equal(fleet.running(id).length, 2);
  assert.ok(fleet.running(id).every((task) => !before.includes(task.ID)));
});

Deno.test("Updater: a delay beyond the monitor period is monitored too (54)", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 2, config({ Delay: 10 * SECOND, Monitor: SECOND }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(9000);
  const [first] = fleet.running(id).filter((task) => versionOf(task) === "v2");
  await fleet.agents.report(first!.ID, "failed");
  await fleet.clock.advance(30_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "paused");
});

Deno.test("Updater: a new leader finishes what another began", async () => {
  await using fleet = await Fleet.of(["a"]);
  const id = await fleet.replicated("web", 4, config({ Delay: 10 * SECOND }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(12_000);
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v2: 4 });
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

Deno.test("Updater: an absent device blocks no rollout and follows when it is back", async () => {
  await using fleet = await Fleet.of(["a", "b", "c"]);
  const id = await fleet.global("probe");
  await fleet.state("b", "down");
  const old = fleet.wanted(id).find((task) => task.NodeID === "b")!;
  await fleet.release(id, "v2");
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { v2: 2, "": 1 });
  const status = fleet.service(id).UpdateStatus!;
  assert.equal(status.State, "completed");
  assert.equal(status.Message, "update completed; 1 task deferred: node not reachable");
  assert.equal(fleet.store.get("tasks", old.ID)!.DesiredState, "running");
  await fleet.state("b", "ready");
  await fleet.clock.advance(2000);
  assert.deepEqual(fleet.versions(id), { v2: 3 });
  assert.deepEqual(fleet.placement(id), { a: 1, b: 1, c: 1 });
});

Deno.test("Updater: a device that vanishes in mid-update is not waited for", async () => {
  await using fleet = await Fleet.of(["a", "b", "c"]);
  const id = await fleet.global("probe");
  fleet.agents.fate = (task) => versionOf(task) === "v2" && task.NodeID === "a" ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { "": 2 });
  await fleet.state("a", "unknown");
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { v2: 2 });
  fleet.agents.fate = () => "running";
  await fleet.state("a", "ready");
  await fleet.clock.advance(2000);
  assert.deepEqual(fleet.versions(id), { v2: 3 });
  assert.equal(fleet.wanted(id).length, 3);
});

Deno.test("Updater: a start-first update that is rolled back never stops the healthy old task (46, 49)", async () => {
  for (const RollbackOrder of ["stop-first", "start-first"] as const) {
    for (const Delay of [undefined, 0, 0.1 * SECOND]) {
      for (const MaxFailureRatio of [0, 0.4]) {
        await using fleet = await Fleet.of(["a", "b"], failing("v2"));
        const id = await fleet.replicated("web", 3, {
          ...config({ Order: "start-first", FailureAction: "rollback", MaxFailureRatio, Parallelism: 0 }),
          RollbackConfig: { Parallelism: 1, Order: RollbackOrder },
          template: { RestartPolicy: Delay === undefined ? {} : { Delay } },
        });
        const old = fleet.running(id).map(({ ID }) => ID);
        await fleet.release(id, "v2");
        await fleet.clock.advance(60_000);
        const why = `rollback ${RollbackOrder}, delay ${Delay}, ratio ${MaxFailureRatio}`;
        assert.equal(fleet.service(id).UpdateStatus?.State, "rollback_completed", why);
        assert.deepEqual(fleet.running(id).map(({ ID }) => ID), old, why);
        assert.equal(fleet.wanted(id).length, 3, why);
      }
    }
  }
});

Deno.test("Updater: start-first with rollback keeps the old task while the new one may still fail (46, 49)", async () => {
  for (const changeOfLeader of [false, true]) {
    await using fleet = await Fleet.of(["a", "b"]);
    const id = await fleet.replicated("web", 2, config({ Order: "start-first", FailureAction: "rollback" }));
    const old = fleet.running(id).map(({ ID }) => ID);
    await fleet.release(id, "v2");
    await fleet.clock.advance(1000);
    assert.deepEqual(fleet.versions(id), { "": 2, v2: 2 });
    if (changeOfLeader) {
      await fleet.stepDown();
      fleet.lead();
    }
    await fleet.clock.advance(3000);
    // It ran for a while, and then fails.
    fleet.agents.fate = failing("v2");
    const bad = fleet.running(id).find((task) => versionOf(task) === "v2")!;
    await fleet.agents.report(bad.ID, "failed");
    await fleet.clock.advance(60_000);
    assert.equal(fleet.service(id).UpdateStatus?.State, "rollback_completed");
    assert.deepEqual(fleet.running(id).map(({ ID }) => ID), old);
    assert.equal(fleet.wanted(id).length, 2);
  }
});

Deno.test("Updater: start-first with rollback ends the old task once the new one has held (46)", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 2, config({ Order: "start-first", FailureAction: "rollback" }));
  await fleet.release(id, "v2");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.versions(id), { v2: 2 });
  assert.equal(fleet.wanted(id).length, 2);
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

Deno.test("Updater: stop-first waits 60 s for an old task that does not stop, and for no removed node (45)", async () => {
  for (const lost of ["silent", "removed"] as const) {
    await using fleet = await Fleet.of(["a", "b"]);
    const id = await fleet.replicated("web", 1);
    const [old] = fleet.running(id);
    fleet.agents.offline.add(old!.NodeID);
    await fleet.release(id, "v2");
    await fleet.clock.advance(500);
    if (lost === "removed") await fleet.removeNode(old!.NodeID);
    await fleet.clock.advance(lost === "removed" ? 6000 : 58_000);
    assert.deepEqual(fleet.versions(id), lost === "removed" ? { v2: 1 } : {}, lost);
    await fleet.clock.advance(4000);
    const [next] = fleet.wanted(id);
    assert.deepEqual([next!.DesiredState, versionOf(next!)], ["running", "v2"], lost);
  }
});
