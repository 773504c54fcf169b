import { strictEqual } from "node:assert/strict";
import { timestamp } from "../../api/clock.ts";
import { FakeClock } from "../support/fake_clock.ts";

Deno.test("Clock: times are shown as each clock has them, also by two in turn and after one was set back", () => {
  const [a, b] = [new FakeClock(Date.UTC(2026, 0, 1)), new FakeClock(Date.UTC(2027, 0, 1))];
  strictEqual(timestamp(a), "2026-01-01T00:00:00.000Z");
  strictEqual(timestamp(b), "2027-01-01T00:00:00.000Z");
  strictEqual(timestamp(a), "2026-01-01T00:00:00.000Z");
  a.set(-1);
  strictEqual(timestamp(a), "2025-12-31T23:59:59.999Z");
});
