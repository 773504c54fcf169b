import assert from "node:assert/strict";
import type { UpdateConfig } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { Fleet, versionOf } from "../orchestrator/harness.ts";

const HOUR_MS = 3_600_000;

/** Of `count` devices, those that are `away` miss an update to v2; it fails on those that `bad` says. */
async function updateWithout(
  away: number,
  config: Partial<UpdateConfig>,
  bad: (nodeID: string) => boolean,
): Promise<{ fleet: Fleet; id: string; names: string[] }> {
  const names = Array.from({ length: 20 }, (_, i) => `device-${i}`);
  const fate = (task: Task) =>
    versionOf(task) === "v2" && bad(task.NodeID) ? "failed" as const : "running" as const;
  const fleet = await Fleet.of(names, fate);
  const id = await fleet.global("probe", {
    UpdateConfig: { Parallelism: 5, ...config },
    template: { RestartPolicy: { Condition: "none" } },
  });
  for (const name of names.slice(0, away)) await fleet.state(name, "down");
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  return { fleet, id, names };
}

Deno.test("Updater: a device that returns and fails does not roll back the others", async () => {
  const { fleet, id, names } = await updateWithout(
    1,
    { FailureAction: "rollback", MaxFailureRatio: 0.2 },
    (node) => node === "device-0",
  );
  await using _ = fleet;
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
  assert.equal(fleet.service(id).UpdateStatus?.Rollout?.Deferred, 1);
  await fleet.clock.advance(HOUR_MS);
  await fleet.state(names[0]!, "ready");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v2: 19 });
  const { State, Rollout } = fleet.service(id).UpdateStatus!;
  assert.equal(State, "completed");
  assert.deepEqual(Rollout!.Returned, { Total: 1, Failed: 1 });
  assert.deepEqual(Rollout!.Failures, [{ Place: "device-0", Stage: 0, Returned: true }]);
  assert.equal(Rollout!.Total, 19);
  assert.equal(Rollout!.Deferred, 0);
});

Deno.test("Updater: too many failures among returning devices hold the others, and nothing else", async () => {
  const { fleet, id, names } = await updateWithout(
    8,
    { Parallelism: 1, FailureAction: "rollback", MaxFailureRatio: 0.2 },
    (node) => Number(node.slice("device-".length)) < 8,
  );
  await using _ = fleet;
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
  for (const name of names.slice(0, 8)) await fleet.state(name, "ready");
  await fleet.clock.advance(60_000);
  const { State, Message, Rollout } = fleet.service(id).UpdateStatus!;
  assert.equal(State, "paused");
  assert.equal(Message, "update paused due to failures on 3 returning devices");
  assert.deepEqual(Rollout!.Returned, { Total: 3, Failed: 3 });
  assert.deepEqual(fleet.versions(id), { v2: 12, "": 5 });
});

Deno.test("Updater: a paused update holds for a device that returns", async () => {
  const { fleet, id, names } = await updateWithout(1, {}, (node) => node === "device-1");
  await using _ = fleet;
  assert.equal(fleet.service(id).UpdateStatus?.State, "paused");
  const before = fleet.versions(id);
  await fleet.state(names[0]!, "ready");
  await fleet.clock.advance(HOUR_MS);
  assert.deepEqual(fleet.versions(id), before);
});

Deno.test("Updater: a new leader counts a returning device as the old one would have", async () => {
  const { fleet, id, names } = await updateWithout(
    2,
    { FailureAction: "rollback", MaxFailureRatio: 0.1 },
    (node) => node === "device-0" || node === "device-1",
  );
  await using _ = fleet;
  await fleet.stepDown();
  fleet.lead();
  await fleet.state(names[0]!, "ready");
  await fleet.clock.advance(30_000);
  await fleet.stepDown();
  fleet.lead();
  await fleet.state(names[1]!, "ready");
  await fleet.clock.advance(30_000);
  const { State, Rollout } = fleet.service(id).UpdateStatus!;
  assert.equal(State, "paused");
  assert.deepEqual(Rollout!.Returned, { Total: 2, Failed: 2 });
  assert.deepEqual(fleet.versions(id), { v2: 18 });
});

Deno.test("Updater: writes nothing once an update is over", async () => {
  const { fleet } = await updateWithout(1, {}, () => false);
  await using _ = fleet;
  const { index } = fleet.store;
  await fleet.clock.advance(HOUR_MS);
  assert.equal(fleet.store.index, index);
});
