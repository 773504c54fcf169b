import assert from "node:assert/strict";
import {
  formatAge,
  formatBytes,
  parseBytes,
  parseChoice,
  parseCount,
  parseCPUs,
  parseDuration,
  parseLabels,
  parseRatio,
} from "../../cli/units.ts";

Deno.test("Units: durations are Go's", () => {
  assert.equal(parseDuration("delay", "1m30s"), 90e9);
  assert.equal(parseDuration("delay", "250ms"), 250e6);
  assert.equal(parseDuration("delay", "0"), 0);
  for (const bad of ["", "5", "s", "1x", "1m 3s", "-1s"]) {
    assert.throws(() => parseDuration("restart-delay", bad), /--restart-delay/, bad);
  }
});

Deno.test("Units: sizes are powers of 1024, with or without the B", () => {
  assert.equal(parseBytes("m", "64m"), 64 * 1024 ** 2);
  assert.equal(parseBytes("m", "1.5GiB"), 1.5 * 1024 ** 3);
  assert.equal(parseBytes("m", "1048576"), 1048576);
  for (const bad of ["", "m", "-1m", "1 potato"]) {
    assert.throws(() => parseBytes("limit-memory", bad), /--limit-memory/);
  }
  assert.equal(formatBytes(64 * 1024 ** 2), "64MiB");
});

Deno.test("Units: numbers out of range name their flag and value", () => {
  assert.equal(parseCPUs("limit-cpu", "0.5"), 5e8);
  assert.throws(() => parseCPUs("limit-cpu", "half"), /--limit-cpu.*"half"/);
  assert.throws(() => parseCount("replicas", "-1"), /--replicas.*"-1"/);
  assert.throws(() => parseRatio("update-max-failure-ratio", "2"), /between 0 and 1/);
  assert.throws(
    () => parseChoice("mode", "globl", ["global"]),
    /--mode as one of global: current value is "globl"/,
  );
});

Deno.test("Units: a label without a value is empty, one with = keeps it", () => {
  assert.deepEqual(parseLabels(["a", "b=1", "c=x=y"]), { a: "", b: "1", c: "x=y" });
});

Deno.test("Units: ages read as docker's do", () => {
  const now = Date.UTC(2026, 0, 2);
  const ago = (seconds: number) => formatAge(new Date(now - seconds * 1000).toISOString(), now);
  assert.equal(ago(0), "Less than a second ago");
  assert.equal(ago(5), "5 seconds ago");
  assert.equal(ago(90), "About a minute ago");
  assert.equal(ago(4000), "About an hour ago");
  assert.equal(ago(3 * 86_400), "3 days ago");
});
