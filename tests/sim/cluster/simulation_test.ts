import assert from "node:assert/strict";
import { ClusterSimulation } from "./simulation.ts";

/** Seeds of the daily portion; `deno task sim` runs as many as one has time for. */
const SEEDS = 50;

Deno.test("Cluster simulation: no property is violated, and every healed cluster gets well", async () => {
  let operations = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      operations += (await new ClusterSimulation(seed).run()).operations;
    } catch (cause) {
      throw new Error(`replay with deno task sim --seed ${seed}`, { cause });
    }
  }
  assert.ok(operations > 50 * SEEDS, `the clusters did work: ${operations}`);
});

Deno.test("Cluster simulation: equal seeds give equal runs", async () => {
  for (const seed of [3, 8, 21]) {
    assert.deepEqual(await new ClusterSimulation(seed).run(), await new ClusterSimulation(seed).run());
  }
});
