/** How long a version has done well is judged by what was seen of it, not by dates. */
import assert from "node:assert/strict";
import type { RolloutStage } from "../../../api/rollout.ts";
import type { Task } from "../../../api/task.ts";
import { controlRollout } from "../../../manager/control/rollouts.ts";
import { FORGIVEN_PERIODS } from "../../../manager/updater/plan.ts";
import { Fleet, versionOf } from "../orchestrator/harness.ts";

const SECOND_NS = 1e9, MONITOR_MS = 20_000, HOUR_MS = 3_600_000;
const isNew = (task: Task) => versionOf(task) === "v2";

/** Ten devices, of which the first stage takes one; `canary` is its new task, which runs. */
async function atCanary(first: RolloutStage = { Percent: 10 }) {
  const fleet = await Fleet.of(Array.from({ length: 10 }, (_, i) => `d${i}`));
  const id = await fleet.global("probe", {
    UpdateConfig: {
      Parallelism: 0,
      Monitor: MONITOR_MS * 1e6,
      Rollout: { Stages: [first, { Percent: 100 }] },
    },
  });
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  const canary = fleet.running(id).find(isNew)!;
  const reached = () => new Set(fleet.all(id).filter(isNew).map(({ NodeID }) => NodeID)).size;
  const rollout = () => fleet.service(id).UpdateStatus!.Rollout!;
  return { fleet, id, canary, reached, rollout };
}

for (const byMs of [HOUR_MS, -HOUR_MS]) {
  const way = byMs > 0 ? "forward" : "back";

  Deno.test(`Rollout: a clock that is set ${way} ends no monitor period, and hides no failure`, async () => {
    const { fleet, canary, reached, rollout } = await atCanary();
    await using _ = fleet;
    fleet.clock.set(byMs);
    await fleet.setNode("d0", (node) => ({ ...node, Spec: { ...node.Spec, Labels: { looked: "at" } } }));
    await fleet.clock.advance(MONITOR_MS - 5000);
    assert.equal(reached(), 1);
    await fleet.agents.report(canary.ID, "failed");
    await fleet.clock.advance(60_000);
    assert.deepEqual([rollout().State, rollout().Failed, reached()], ["paused", 1, 1]);
  });

  Deno.test(`Rollout: a clock that is set ${way} ends no bake, and draws out none`, async () => {
    const { fleet, reached, rollout } = await atCanary({ Percent: 10, Bake: 60 * SECOND_NS });
    await using _ = fleet;
    await fleet.clock.advance(MONITOR_MS);
    assert.equal(rollout().State, "baking");
    fleet.clock.set(byMs);
    await fleet.setNode("d0", (node) => ({ ...node, Spec: { ...node.Spec, Labels: { looked: "at" } } }));
    await fleet.clock.advance(50_000);
    assert.equal(rollout().State, "baking");
    await fleet.clock.advance(60_000);
    assert.deepEqual([rollout().State, reached()], ["completed", 10]);
  });

  Deno.test(`Rollout: a failure during the bake counts when the clock was set ${way}`, async () => {
    const { fleet, canary, reached, rollout } = await atCanary({ Percent: 10, Bake: 60 * SECOND_NS });
    await using _ = fleet;
    await fleet.clock.advance(MONITOR_MS);
    fleet.clock.set(byMs);
    await fleet.clock.advance(10_000);
    await fleet.agents.report(canary.ID, "failed");
    await fleet.clock.advance(120_000);
    assert.deepEqual([rollout().State, reached()], ["paused", 1]);
  });

  Deno.test(`Rollout: a new leader whose clock is set ${way} watches the stage for itself`, async () => {
    const { fleet, canary, reached, rollout } = await atCanary();
    await using _ = fleet;
    await fleet.stepDown();
    fleet.clock.set(byMs);
    fleet.lead();
    await fleet.clock.advance(MONITOR_MS - 5000);
    assert.equal(reached(), 1);
    await fleet.agents.report(canary.ID, "failed");
    await fleet.clock.advance(60_000);
    assert.deepEqual([rollout().State, reached()], ["paused", 1]);
  });
}

Deno.test("Rollout: a new leader lets no stage go that it has not seen bake", async () => {
  const { fleet, canary, reached, rollout } = await atCanary({ Percent: 10, Bake: 60 * SECOND_NS });
  await using _ = fleet;
  await fleet.clock.advance(MONITOR_MS);
  assert.equal(rollout().State, "baking");
  await fleet.stepDown();
  fleet.clock.set(HOUR_MS);
  fleet.lead();
  await fleet.clock.advance(MONITOR_MS - 5000);
  await fleet.agents.report(canary.ID, "failed");
  await fleet.clock.advance(60_000);
  assert.deepEqual([rollout().State, reached()], ["paused", 1]);
});

for (
  const [what, becomes] of [
    ["is heard of again", () => Promise.resolve()],
    ["counts as down, and comes back", async (fleet: Fleet, nodeID: string) => {
      await fleet.state(nodeID, "down");
      await fleet.clock.advance(MONITOR_MS);
      await fleet.state(nodeID, "ready");
    }],
  ] as const
) {
  Deno.test(`Rollout: a canary fails while its device is silent by the end of the monitor period: it counts once that ${what}`, async () => {
    const { fleet, canary, reached, rollout } = await atCanary();
    await using _ = fleet;
    await fleet.clock.advance(MONITOR_MS - 5000);
    fleet.silentSince.set(canary.NodeID, fleet.clock.monotonic());
    await fleet.clock.advance(MONITOR_MS);
    assert.deepEqual([rollout().State, reached()], ["rolling", 1]);
    await becomes(fleet, canary.NodeID);
    fleet.silentSince.clear();
    await fleet.agents.report(canary.ID, "failed");
    await fleet.clock.advance(60_000);
    assert.deepEqual([rollout().State, rollout().Failed, reached()], ["paused", 1, 1]);
  });
}

Deno.test("Rollout: a canary whose device was silent by the end of the monitor period, and is well, has proved the version", async () => {
  const { fleet, canary, reached, rollout } = await atCanary();
  await using _ = fleet;
  await fleet.clock.advance(MONITOR_MS - 5000);
  fleet.silentSince.set(canary.NodeID, fleet.clock.monotonic());
  await fleet.clock.advance(MONITOR_MS);
  assert.equal(reached(), 1);
  fleet.silentSince.clear();
  await fleet.clock.advance(MONITOR_MS + 5000);
  assert.deepEqual([rollout().State, reached()], ["completed", 10]);
});

Deno.test("Rollout: while its device is silent a canary proves nothing, be it for a moment", async () => {
  const { fleet, id, canary, reached, rollout } = await atCanary();
  await using _ = fleet;
  await fleet.state(canary.NodeID, "down");
  await fleet.clock.advance(10 * MONITOR_MS);
  assert.equal(reached(), 1);
  // The device is heard of before what it has to tell is.
  await fleet.state(canary.NodeID, "ready");
  await fleet.clock.advance(1000);
  assert.equal(reached(), 1);
  await fleet.clock.advance(MONITOR_MS - 5000);
  const setState = (State: "down" | "ready") =>
    fleet.store.update((tx) => {
      const node = tx.get("nodes", canary.NodeID)!;
      tx.update("nodes", { ...node, Status: { ...node.Status, State } });
    });
  await setState("down");
  await setState("ready");
  await fleet.clock.advance(MONITOR_MS - 5000);
  assert.equal(reached(), 1);
  assert.equal(fleet.running(id).filter(isNew).length, 1);
  await fleet.agents.report(canary.ID, "failed");
  await fleet.clock.advance(60_000);
  assert.deepEqual([rollout().State, reached()], ["paused", 1]);
});

Deno.test("Rollout: what has proved itself stays proven, though its device falls silent and its task ends", async () => {
  const { fleet, canary, reached, rollout } = await atCanary({ Percent: 10, Promotion: "manual" });
  await using _ = fleet;
  await fleet.clock.advance(MONITOR_MS + 1000);
  await fleet.state(canary.NodeID, "down");
  await fleet.clock.advance(10_000);
  await fleet.state(canary.NodeID, "ready");
  await fleet.agents.report(canary.ID, "failed");
  await fleet.clock.advance(60_000);
  assert.deepEqual([rollout().State, rollout().Failed, reached()], ["awaiting_promotion", 0, 1]);
});

Deno.test("Rollout: a canary that fails while nobody looks on does no better by its restarts", async () => {
  const { fleet, id, canary, reached, rollout } = await atCanary();
  await using _ = fleet;
  await controlRollout(fleet.store, fleet.clock, id, "pause");
  // It fails, again and again, until nothing is left of the task that the rollout had put there.
  fleet.agents.fate = (task) => isNew(task) ? undefined : "running";
  await fleet.agents.report(canary.ID, "failed");
  for (let nth = 0; nth < 8; nth++) {
    await fleet.clock.advance(6000);
    const next = fleet.wanted(id).find(isNew)!;
    await fleet.agents.report(next.ID, "running");
    await fleet.clock.advance(1000);
    await fleet.agents.report(next.ID, "failed");
  }
  assert.ok(!fleet.all(id).some(({ ID }) => ID === canary.ID));
  await fleet.clock.advance(6000);
  await fleet.agents.report(fleet.wanted(id).find(isNew)!.ID, "running");
  await controlRollout(fleet.store, fleet.clock, id, "resume");
  await fleet.clock.advance(1000);
  assert.equal(reached(), 1);
  await fleet.agents.report(fleet.wanted(id).find(isNew)!.ID, "failed");
  await fleet.clock.advance(60_000);
  assert.deepEqual([rollout().State, reached()], ["paused", 1]);
});

Deno.test("Rollout: resumed after its only canary failed, it goes on once that canary does well", async () => {
  const { fleet, id, canary, reached, rollout } = await atCanary();
  await using _ = fleet;
  await fleet.agents.report(canary.ID, "failed");
  await fleet.clock.advance(10_000);
  assert.equal(rollout().State, "paused");
  await controlRollout(fleet.store, fleet.clock, id, "resume");
  await fleet.clock.advance(MONITOR_MS - 5000);
  assert.equal(reached(), 1);
  // Once more, which is not the last chance.
  await fleet.agents.report(fleet.wanted(id).find(isNew)!.ID, "failed");
  await fleet.clock.advance(MONITOR_MS);
  assert.equal(reached(), 1);
  await fleet.clock.advance(3 * MONITOR_MS);
  assert.deepEqual([rollout().State, reached()], ["completed", 10]);
});

Deno.test("Rollout: resumed after its only canary failed, which goes on failing, it tries another device", async () => {
  const { fleet, id, canary, reached, rollout } = await atCanary();
  await using _ = fleet;
  const fails = (task: Task) => isNew(task) && task.NodeID === canary.NodeID;
  fleet.agents.fate = (task) => fails(task) ? "failed" : "running";
  await fleet.agents.report(canary.ID, "failed");
  await fleet.clock.advance(10_000);
  await controlRollout(fleet.store, fleet.clock, id, "resume");
  await fleet.clock.advance(FORGIVEN_PERIODS * MONITOR_MS - 1000);
  assert.deepEqual([rollout().State, reached()], ["rolling", 1], "it may yet do well");
  await fleet.clock.advance(2000);
  assert.deepEqual([rollout().Stage, reached()], [0, 2], "the stage still has to be proved");
  await fleet.clock.advance(3 * MONITOR_MS);
  assert.deepEqual([rollout().State, reached(), rollout().Failed], ["completed", 10, 1]);
});

Deno.test("Rollout: a bad version that somebody resumes stops at the next device", async () => {
  const { fleet, id, canary, reached, rollout } = await atCanary();
  await using _ = fleet;
  fleet.agents.fate = (task) => isNew(task) ? "failed" : "running";
  await fleet.agents.report(canary.ID, "failed");
  await fleet.clock.advance(10_000);
  for (const devices of [2, 3]) {
    await controlRollout(fleet.store, fleet.clock, id, "resume");
    await fleet.clock.advance(10 * MONITOR_MS);
    assert.deepEqual([rollout().State, rollout().Stage, reached()], ["paused", 0, devices]);
  }
});

Deno.test("Rollout: resumed, a stage of which too few devices did well goes on without those that failed", async () => {
  const { fleet, id, canary, reached, rollout } = await atCanary({
    Percent: 20,
    SuccessThreshold: 1,
    FailureThreshold: 0.5,
  });
  await using _ = fleet;
  fleet.agents.fate = (task) => isNew(task) && task.NodeID === canary.NodeID ? "failed" : "running";
  await fleet.agents.report(canary.ID, "failed");
  await fleet.clock.advance(2 * MONITOR_MS);
  assert.deepEqual([rollout().State, rollout().Failed, reached()], ["paused", 1, 2]);
  await controlRollout(fleet.store, fleet.clock, id, "resume");
  await fleet.clock.advance((FORGIVEN_PERIODS + 4) * MONITOR_MS);
  assert.deepEqual([rollout().State, reached()], ["completed", 10]);
});
