import assert from "node:assert/strict";
import { Violation } from "../raft/checker.ts";
import type { Faults } from "./faults.ts";
import type { Deed } from "./nemesis.ts";
import { REGRESSIONS } from "./regressions.ts";
import { ClusterSimulation } from "./simulation.ts";

/** Seeds of the daily portion; `deno task sim` runs as many as one has time for. */
const SEEDS = 25;
/** Within so many seeds a known bug must be found, given the kind of fault that it needs. */
const MAX_SEEDS_TO_FIND = 100;

async function mustBeWell(seed: number): Promise<number> {
  try {
    return (await new ClusterSimulation(seed).run()).operations;
  } catch (cause) {
    throw new Error(`replay with deno task sim cluster --seed ${seed}`, { cause });
  }
}

/** The rule that the first seed to find it finds violated, with bugs put in on purpose. */
async function violatedRule(faults: Faults, deeds?: readonly Deed[]): Promise<string | undefined> {
  for (let seed = 1; seed <= MAX_SEEDS_TO_FIND; seed++) {
    try {
      await new ClusterSimulation(seed, faults, deeds).run();
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      return thrown.rule;
    }
  }
  return undefined;
}

Deno.test("Cluster simulation: no property is violated, and every healed cluster gets well", async () => {
  let operations = 0;
  for (let seed = 1; seed <= SEEDS; seed++) operations += await mustBeWell(seed);
  assert.ok(operations > 50 * SEEDS, `the clusters did work: ${operations}`);
});

Deno.test("Cluster simulation: equal seeds give equal runs", async () => {
  for (const seed of [3, 8, 21]) {
    assert.deepEqual(await new ClusterSimulation(seed).run(), await new ClusterSimulation(seed).run());
  }
});

for (const { seed, found, test } of REGRESSIONS) {
  Deno.test(`Cluster simulation: seed ${seed}, once: ${found}`, async () => {
    assert.ok(Deno.statSync(new URL(`../../../${test}`, import.meta.url)).isFile);
    await mustBeWell(seed);
  });
}

Deno.test("Cluster simulation: finds a disk that acknowledges before it has synced", async () => {
  const rule = await violatedRule({ acknowledgeEarly: true });
  assert.ok(["ES", "LC", "LM", "SM", "DU"].includes(rule!), `violates ${rule}`);
});

Deno.test("Cluster simulation: finds a member that does not write its vote", async () => {
  const rule = await violatedRule({ forgetVote: true });
  assert.ok(["ES", "LM", "SM"].includes(rule!), `violates ${rule}`);
});

Deno.test("Cluster simulation: finds a member that takes over half of a snapshot", async () => {
  assert.equal(await violatedRule({ forgetRestored: true }), "SM");
});

Deno.test("Cluster simulation: finds a checkpoint that leaves out a record", async () => {
  const rule = await violatedRule({ forgetDirty: true });
  // A client or a device that misses what it was told of may notice before the states of managers are compared.
  assert.ok(["SM", "LIN", "TM"].includes(rule!), `violates ${rule}`);
});

Deno.test("Cluster simulation: finds reads that nobody asked the other managers about", async () => {
  assert.equal(await violatedRule({ readWithoutBarrier: true }, ["pauseLeader"]), "LIN");
});
