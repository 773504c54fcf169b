import assert from "node:assert/strict";
import { Violation } from "./checker.ts";
import type { Faults } from "./node.ts";
import { Simulation } from "./simulation.ts";

/** Seeds of the daily portion; `deno task sim` runs as many as one has time for. */
const SEEDS = 400;
/** Within so many seeds a known bug must be found. */
const MAX_SEEDS_TO_FIND = 500;

function firstViolation(faults: Faults): { seed: number; rule: string } | null {
  for (let seed = 1; seed <= MAX_SEEDS_TO_FIND; seed++) {
    try {
      new Simulation(seed, faults).run();
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      return { seed, rule: thrown.rule };
    }
  }
  return null;
}

Deno.test("Simulation: no safety property is violated, and every healed cluster gets well", () => {
  let acknowledged = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      acknowledged += new Simulation(seed).run().acknowledged;
    } catch (thrown) {
      throw new Error(`seed ${seed}: replay with deno task sim raft --seed ${seed}`, { cause: thrown });
    }
  }
  assert.ok(acknowledged > 50 * SEEDS, `the clusters did work: ${acknowledged}`);
});

Deno.test("Simulation: equal seeds give equal runs", () => {
  for (const seed of [5, 17, 99]) assert.deepEqual(new Simulation(seed).run(), new Simulation(seed).run());
});

Deno.test("Simulation: finds a leader that commits entries of old terms by counting", () => {
  const found = firstViolation({ breakCore: (raft) => raft.mayCommitByCounting = () => true });
  assert.ok(found && ["LC", "SM"].includes(found.rule), JSON.stringify(found));
});

Deno.test("Simulation: finds a member that forgets to sync its vote", () => {
  const breakDisk: Faults["breakDisk"] = (batch) => ({
    ...batch,
    hardState: { ...batch.hardState, vote: 0 },
  });
  const found = firstViolation({ breakDisk });
  assert.ok(found?.rule === "ES", JSON.stringify(found));
});

Deno.test("Simulation: finds a new leader that serves reads before it committed an own entry", () => {
  const found = firstViolation({ breakCore: (raft) => raft.hasCommittedInTerm = () => true });
  assert.ok(found?.rule === "LIN", JSON.stringify(found));
});

Deno.test("Simulation: a leader that was removed and never told of it leads nobody (seed 40904)", () => {
  assert.ok(new Simulation(40_904).run().acknowledged > 0);
});
