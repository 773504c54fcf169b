import assert from "node:assert/strict";
import { nextStep, type Standing } from "../../../agent/schedule/next_step.ts";
import type { Schedule } from "../../../api/schedule.ts";

const AT = Date.parse("2026-03-02T12:00:00.000Z");
const MINUTE_MS = 60_000, HOUR_MS = 60 * MINUTE_MS;

function step(schedule: Partial<Schedule>, change: Partial<Standing>): string {
  const standing = { lastMs: AT - HOUR_MS, nowMs: AT, alive: 0, awaitedMs: undefined, ...change };
  const next = nextStep({ ...standing, schedule: { Cron: "0 * * * *", ...schedule } });
  const ms = next.kind === "wait" ? next.untilMs : next.atMs;
  const at = Number.isFinite(ms) ? new Date(ms).toISOString().slice(5, 16) : "never";
  return `${next.kind === "note" ? next.state : next.kind} ${at}`;
}

Deno.test("Schedule: each time is run once, at once or a little late, and the next one waited for", () => {
  assert.equal(step({}, { nowMs: AT - 1 }), "wait 03-02T12:00");
  assert.equal(step({}, {}), "run 03-02T12:00");
  assert.equal(step({}, { nowMs: AT + MINUTE_MS - 1 }), "run 03-02T12:00");
  assert.equal(step({}, { lastMs: AT }), "wait 03-02T13:00");
  assert.equal(step({}, { lastMs: AT, nowMs: AT + HOUR_MS }), "run 03-02T13:00");
});

Deno.test("Schedule: what was missed is left out, or its newest run once, up to a deadline", () => {
  const late = { nowMs: AT + 30 * MINUTE_MS, lastMs: AT - 50 * HOUR_MS };
  assert.equal(step({}, late), "missed 03-02T12:00");
  assert.equal(step({ Missed: "skip" }, late), "missed 03-02T12:00");
  assert.equal(step({ Missed: "once" }, late), "run 03-02T12:00");
  assert.equal(step({ Missed: "once", Deadline: 31 * 60e9 }, late), "run 03-02T12:00");
  assert.equal(step({ Missed: "once", Deadline: 30 * 60e9 }, late), "missed 03-02T12:00");
  const years = { nowMs: AT + 1, lastMs: AT - 3 * 365 * 24 * HOUR_MS };
  assert.equal(step({ Missed: "once", Cron: "* * 1 * *" }, years), "run 03-01T23:59");
});

Deno.test("Schedule: a run whose time comes while another goes on is left out, waits for its end, or begins", () => {
  assert.equal(step({}, { alive: 1 }), "skipped 03-02T12:00");
  assert.equal(step({ Concurrency: "replace" }, { alive: 1 }), "replace 03-02T12:00");
  // However long that one takes to stop.
  const stopped = { nowMs: AT + 5 * MINUTE_MS, awaitedMs: AT };
  assert.equal(step({ Concurrency: "replace" }, { ...stopped, alive: 0 }), "run 03-02T12:00");
  assert.equal(step({ Concurrency: "replace" }, { ...stopped, awaitedMs: undefined }), "missed 03-02T12:00");
  assert.equal(step({ Concurrency: "allow" }, { alive: 1 }), "run 03-02T12:00");
  assert.equal(step({ Concurrency: "allow" }, { alive: 10 }), "skipped 03-02T12:00");
});

Deno.test("Schedule: a clock that is set back runs nothing twice, one that was years ahead holds nothing up", () => {
  assert.equal(step({}, { lastMs: AT, nowMs: AT - 20 * MINUTE_MS }), "wait 03-02T13:00");
  assert.equal(step({}, { lastMs: AT, nowMs: AT - 5 * HOUR_MS }), "wait 03-02T13:00");
  assert.equal(step({}, { lastMs: AT + 9e11, nowMs: AT }), "wait 03-02T13:00");
});

Deno.test("Schedule: it is in the device's own time zone, in which an hour that comes twice has one run, and one that never comes too", () => {
  const before = Deno.env.get("TZ");
  Deno.env.set("TZ", "Europe/Berlin");
  try {
    const nightly = (nowMs: number, lastMs: number) => step({ Cron: "30 2 * * *" }, { nowMs, lastMs });
    const first = Date.parse("2026-10-25T00:30:00.000Z"), second = first + HOUR_MS;
    assert.equal(nightly(first, first - HOUR_MS), "run 10-25T00:30");
    assert.equal(nightly(second, first), "wait 10-26T01:30");
    assert.equal(nightly(second + 1000, first), "wait 10-26T01:30");
    const spring = Date.parse("2026-03-29T01:00:00.000Z");
    assert.equal(nightly(spring, spring - HOUR_MS), "run 03-29T01:00");
    assert.equal(nightly(spring + HOUR_MS, spring), "wait 03-30T00:30");
  } finally {
    if (before === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", before);
  }
});
