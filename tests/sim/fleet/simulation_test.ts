import assert from "node:assert/strict";
import { FleetSimulation } from "./simulation.ts";

/** The daily portion; `deno task sim fleet --seeds N --devices D` runs as many as one has time for. */
const SEEDS = 25, DEVICES = 60;

async function mustBeWell(seed: number, devices: number): Promise<number> {
  try {
    return (await new FleetSimulation(seed, devices).run()).replaced;
  } catch (cause) {
    throw new Error(`replay with deno task sim fleet --seed ${seed} --devices ${devices}`, { cause });
  }
}

Deno.test("Fleet simulation: bad versions stop at the canary, good ones get everywhere, aborts hold", async () => {
  let replaced = 0;
  for (let seed = 1; seed <= SEEDS; seed++) replaced += await mustBeWell(seed, DEVICES);
  assert.ok(replaced > SEEDS * DEVICES, `rollouts did work: ${replaced}`);
});

Deno.test("Fleet simulation: a fleet of 1,000 devices", async () => {
  assert.ok(await mustBeWell(1, 1000) > 500);
});

Deno.test("Fleet simulation: equal seeds give equal runs", async () => {
  const run = () => new FleetSimulation(7, 20).run();
  assert.deepEqual(await run(), await run());
});
