import assert from "node:assert/strict";
import { dropExpired } from "../../../manager/control/cluster.ts";
import { DAY_MS } from "../../security/fixtures.ts";
import { FakeClock } from "../../support/fake_clock.ts";

Deno.test("Cluster: a removed node is remembered by name until 7 days after its certificate expired", async () => {
  const clock = new FakeClock();
  const expiry = new Date(clock.now() + 90 * DAY_MS).toISOString();
  const removed = { n: expiry, "without a date": "" };
  await clock.advance(97 * DAY_MS);
  assert.deepEqual(dropExpired(removed, clock), removed);
  await clock.advance(1);
  assert.deepEqual(dropExpired(removed, clock), { "without a date": "" });
});
