import assert from "node:assert/strict";
import { FleetSimulation } from "./simulation.ts";

/** The daily portion; `deno task sim fleet --seeds N --devices D` runs as many as one has time for. */
const SEEDS = 25, DEVICES = 60;
/**
 * Seeds that found a fault. 378: who came back got a version that had failed without stages, taken for a proven one. 920: a
 * program was started that a killed agent had asked for, after the next one had stopped it. 3771: the only canary had
 * failed, was forgiven, and nothing followed. 20453: a device that died while it was drained counted as one on which the
 * version had failed, and kept the one before. 21013: the only canary died while nothing was heard of its device, and the
 * monitor period ended before that counted as down.
 */
const REGRESSIONS = [378, 920, 3771, 20453, 21013];

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
  for (const seed of REGRESSIONS) await mustBeWell(seed, DEVICES);
  assert.ok(replaced > SEEDS * DEVICES, `rollouts did work: ${replaced}`);
});

Deno.test("Fleet simulation: a fleet of 1,000 devices", async () => {
  assert.ok(await mustBeWell(1, 1000) > 500);
});

Deno.test("Fleet simulation: equal seeds give equal runs, whoever plays the devices' agents", async () => {
  const kinds = new Set<string>();
  for (const seed of [6, 7]) {
    const [one, other] = [new FleetSimulation(seed, 20), new FleetSimulation(seed, 20)];
    kinds.add(one.devices[0]!.constructor.name);
    assert.deepEqual(await one.run(), await other.run());
  }
  assert.equal(kinds.size, 2);
});
