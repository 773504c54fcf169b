import assert from "node:assert/strict";
import { PullMeter } from "../../../executors/docker/pull_meter.ts";

Deno.test("Pull meter: counts layers and bytes over several tries, and tells whether one brought anything", () => {
  const meter = new PullMeter();
  meter.take({ status: "Pulling from app", id: undefined! });
  assert.equal(meter.words(), undefined);
  const down = (id: string, current: number, total = 40e6) =>
    meter.take({ status: "Downloading", id, progressDetail: { current, total } });
  meter.take({ status: "Pulling fs layer", id: "a" });
  assert.equal(meter.takeGain(), false);
  meter.take({ status: "Already exists", id: "a" });
  down("b", 10e6);
  down("c", 1e6);
  meter.take({ status: "Download complete", id: "c" });
  assert.equal(meter.words(), "pulling: 2 of 3 layers, 50 of 80 MB");
  assert.equal(meter.takeGain(), true);
  down("b", 0);
  down("b", 9e6);
  assert.equal(meter.takeGain(), false, "it has been further before");
  down("b", 11e6);
  assert.equal(meter.takeGain(), true);
  for (let n = 0; n < 1000; n++) down(`layer ${n}`, 1);
  assert.match(meter.words()!, /of 256 layers/);
});
