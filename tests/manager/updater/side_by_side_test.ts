/** What unfinished start-first updates leave side by side on one device. */
import assert from "node:assert/strict";
import { Fleet, versionOf } from "../orchestrator/harness.ts";

const MONITOR_MS = 20_000;

async function startFirst(nodes: string[]) {
  const fleet = await Fleet.of(nodes);
  const id = await fleet.global("probe", {
    template: { RestartPolicy: { Delay: 1e9 } },
    UpdateConfig: { Parallelism: 1, Order: "start-first", Monitor: MONITOR_MS * 1e6, MaxFailureRatio: 1 },
  });
  await fleet.clock.advance(60_000);
  const on = (node: string) => fleet.wanted(id).filter(({ NodeID }) => NodeID === node).map(versionOf);
  return { fleet, id, on };
}

Deno.test("Updater: of several old tasks start-first keeps the one that did for longest (46)", async () => {
  const { fleet, id, on } = await startFirst(["a"]);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(5_000);
  assert.deepEqual(on("a"), ["", "v2"]);
  await fleet.release(id, "v3");
  await fleet.clock.advance(5_000);
  assert.deepEqual(on("a"), ["", "v3"]);
  await fleet.clock.advance(MONITOR_MS);
  assert.deepEqual(on("a"), ["v3"]);
});

Deno.test("Updater: two restarts of the new spec on one device hold up no update", async () => {
  const { fleet, id, on } = await startFirst(["a", "b"]);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(5_000);
  const [both] = ["a", "b"].filter((node) => on(node).length === 2), other = both === "a" ? "b" : "a";
  // The device with both loses its power while the other has its turn; what follows there never lives long.
  fleet.agents.fate = ({ NodeID }) => NodeID === both ? "failed" : undefined;
  await fleet.release(id, "v3");
  for (const task of fleet.running(id)) {
    if (task.NodeID === both) await fleet.agents.report(task.ID, "failed");
  }
  await fleet.clock.advance(10_000);
  assert.deepEqual(on(both!), ["v3"]);
  fleet.agents.fate = ({ NodeID }) => NodeID === both ? "failed" : "running";
  fleet.agents.kick();
  await fleet.clock.advance(4 * MONITOR_MS);
  assert.deepEqual([fleet.service(id).UpdateStatus?.State, on(both!), on(other)], ["completed", ["v3"], [
    "v3",
  ]]);
});
