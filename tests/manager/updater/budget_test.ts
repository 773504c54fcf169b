import assert from "node:assert/strict";
import type { FailureBudget } from "../../../api/rollout.ts";
import type { UpdateConfig } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { isWanted } from "../../../manager/task/task.ts";
import { Fleet, versionOf } from "../orchestrator/harness.ts";

const MONITOR_MS = 10_000;
const PER_SITE: FailureBudget = { Label: "node.labels.site", MaxDown: 1 };
const isNew = (task: Task) => versionOf(task) === "v2";

/** Twelve devices in four sites and two regions; `down` is how many of each site are without the service, `most` at worst. */
async function sites(budgets: FailureBudget[], config: Partial<UpdateConfig> = {}) {
  const names = Array.from({ length: 12 }, (_, i) => `d${i}`);
  const fleet = new Fleet();
  const siteOf = (name: string) => `s${Number(name.slice(1)) % 4}`;
  for (const name of names) {
    const site = siteOf(name);
    await fleet.node(name, { labels: { site, region: site < "s2" ? "north" : "south" } });
  }
  fleet.lead();
  await fleet.clock.advance(0);
  const id = await fleet.global("probe", {
    template: { RestartPolicy: { Delay: 1e9 } },
    UpdateConfig: { Parallelism: 0, Monitor: MONITOR_MS * 1e6, Rollout: { Budgets: budgets }, ...config },
  });
  await fleet.clock.advance(60_000);
  const most: Record<string, number> = {};
  const down = () => {
    const counts: Record<string, number> = {};
    for (const name of names) {
      const node = fleet.store.get("nodes", name)!;
      const isUp = node.Status.State === "ready" && fleet.store.find("tasks", "slot", `${id}/${name}`)
        .some((task) => isWanted(task) && task.Status.State === "running");
      if (!isUp) counts[siteOf(name)] = (counts[siteOf(name)] ?? 0) + 1;
    }
    return counts;
  };
  fleet.store.subscribe(() => {
    for (const [site, count] of Object.entries(down())) most[site] = Math.max(most[site] ?? 0, count);
  }, "test");
  return { fleet, id, down, most };
}

Deno.test("Budget: no more than so many devices of a site are updated at a time, whatever the parallelism", async () => {
  const { fleet, id, most } = await sites([PER_SITE]);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  assert.deepEqual(fleet.versions(id), { "": 8, v2: 4 });
  await fleet.clock.advance(MONITOR_MS - 2000);
  assert.deepEqual(fleet.versions(id), { "": 8, v2: 4 }, "what has not proved itself counts");
  await fleet.clock.advance(3 * MONITOR_MS);
  assert.deepEqual(fleet.versions(id), { v2: 12 });
  assert.deepEqual(most, { s0: 1, s1: 1, s2: 1, s3: 1 });
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
});

Deno.test("Budget: a version that fails late takes down no more of a site than it may", async () => {
  const { fleet, id, most } = await sites([PER_SITE], { FailureAction: "continue" });
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(MONITOR_MS - 1000);
  for (const task of fleet.running(id).filter(isNew)) await fleet.agents.report(task.ID, "failed");
  fleet.agents.fate = (task) => isNew(task) ? undefined : "running";
  await fleet.clock.advance(10 * MONITOR_MS);
  assert.deepEqual(most, { s0: 1, s1: 1, s2: 1, s3: 1 });
});

Deno.test("Budget: a device that is offline, and one that is drained, count in their site", async () => {
  const { fleet, id, most, down } = await sites([PER_SITE]);
  await using _ = fleet;
  await fleet.state("d0", "down");
  await fleet.availability("d1", "drain");
  await fleet.clock.advance(5_000);
  assert.deepEqual(down(), { s0: 1, s1: 1 });
  await fleet.release(id, "v2");
  await fleet.clock.advance(10 * MONITOR_MS);
  assert.deepEqual(fleet.versions(id), { "": 5, v2: 6 }, "nothing of the sites of d0 and d1");
  await fleet.state("d0", "ready");
  await fleet.availability("d1", "active");
  await fleet.clock.advance(10 * MONITOR_MS);
  assert.deepEqual(fleet.versions(id), { v2: 12 });
  assert.deepEqual(most, { s0: 1, s1: 1, s2: 1, s3: 1 });
});

Deno.test("Budget: groups lie within groups, by percent too, and a device without the label is free", async () => {
  const { fleet, id, most } = await sites([
    { Label: "node.labels.region", MaxDownPercent: 20 },
    { Label: "node.labels.site", MaxDown: 2 },
  ]);
  await using _ = fleet;
  await fleet.node("free");
  await fleet.clock.advance(60_000);
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  // 20 % of the six devices of a region is one.
  assert.deepEqual(fleet.versions(id), { "": 10, v2: 3 });
  await fleet.clock.advance(20 * MONITOR_MS);
  assert.deepEqual(fleet.versions(id), { v2: 13 });
  assert.ok((most.s0 ?? 0) + (most.s1 ?? 0) <= 2);
});

Deno.test("Budget: start-first takes no device down and is not held up", async () => {
  const { fleet, id, most } = await sites([PER_SITE], { Order: "start-first" });
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  assert.equal(fleet.running(id).filter(isNew).length, 12);
  await fleet.clock.advance(2 * MONITOR_MS);
  assert.deepEqual([fleet.versions(id), most], [{ v2: 12 }, {}]);
});

Deno.test("Budget: of a site's devices that are drained one after another each waits for the others", async () => {
  const { fleet, down, most } = await sites([PER_SITE]);
  await using _ = fleet;
  await Promise.all([fleet.availability("d0", "drain"), fleet.availability("d4", "drain")]);
  await fleet.clock.advance(60_000);
  assert.deepEqual(down(), { s0: 1 });
  const { index } = fleet.store;
  await fleet.clock.advance(60_000);
  assert.equal(fleet.store.index, index, "idle means no writes");
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(60_000);
  assert.deepEqual(down(), { s0: 1 });
  await fleet.availability("d0", "active");
  await fleet.availability("d4", "active");
  await fleet.clock.advance(60_000);
  assert.deepEqual([down(), most], [{}, { s0: 1 }]);
});

Deno.test("Budget: a drain in the midst of an update takes no second device of a site", async () => {
  const { fleet, id, most } = await sites([PER_SITE]);
  await using _ = fleet;
  await Promise.all([
    fleet.release(id, "v2"),
    ...["d0", "d4", "d8"].map((name) => fleet.availability(name, "drain")),
  ]);
  await fleet.clock.advance(10 * MONITOR_MS);
  assert.equal(most.s0, 1);
});

Deno.test("Budget: the enforcer evicts no more of a site than may be down", async () => {
  const { fleet, id, most, down } = await sites([PER_SITE]);
  await using _ = fleet;
  await fleet.state("d8", "down");
  const shrink = (name: string) =>
    fleet.setNode(name, (node) => ({
      ...node,
      Description: { ...node.Description!, Resources: { NanoCPUs: 0, MemoryBytes: 0 } },
    }));
  await fleet.template(id, { Resources: { Reservations: { MemoryBytes: 1e6 } } });
  await fleet.clock.advance(20 * MONITOR_MS);
  await Promise.all([shrink("d1"), shrink("d5")]);
  await fleet.clock.advance(60_000);
  assert.deepEqual([down().s1, most.s1], [1, 1]);
});

Deno.test("Budget: sites that have no room hold up no others in a stage", async () => {
  const { fleet, id } = await sites([PER_SITE], {
    Rollout: { Budgets: [PER_SITE], Stages: [{ Percent: 25 }, { Percent: 100 }] },
  });
  await using _ = fleet;
  for (const name of ["d0", "d1", "d2"]) await fleet.state(name, "down");
  await fleet.release(id, "v2");
  await fleet.clock.advance(6 * MONITOR_MS);
  assert.deepEqual(fleet.running(id).filter(isNew).map(({ NodeID }) => NodeID).sort(), ["d11", "d3", "d7"]);
  for (const name of ["d0", "d1", "d2"]) await fleet.state(name, "ready");
  await fleet.clock.advance(10 * MONITOR_MS);
  assert.deepEqual(fleet.versions(id), { v2: 12 });
});
