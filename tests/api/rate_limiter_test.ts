import assert from "node:assert/strict";
import { RateLimiter } from "../../api/rate_limiter.ts";
import { FakeClock } from "../support/fake_clock.ts";

Deno.test("Rate limiter: allows the burst, then the rate, never more than the burst", async () => {
  const clock = new FakeClock();
  const limiter = new RateLimiter({ clock, burst: 3, perSecond: 2, maxKeys: 10 });
  const allowed = (key: string) => Array.from({ length: 5 }, () => limiter.take(key)).filter(Boolean).length;
  assert.equal(allowed("a"), 3);
  assert.equal(allowed("b"), 3);
  await clock.advance(1000);
  assert.equal(allowed("a"), 2);
  await clock.advance(3_600_000);
  assert.equal(allowed("a"), 3);
});

Deno.test("Rate limiter: forgets the key unused for longest when it has too many", () => {
  const limiter = new RateLimiter({ clock: new FakeClock(), burst: 1, perSecond: 0, maxKeys: 2 });
  assert.ok(limiter.take("a"));
  assert.ok(limiter.take("b"));
  assert.ok(!limiter.take("a"));
  assert.ok(limiter.take("c"));
  assert.ok(!limiter.take("a"), "used more recently than b");
  assert.ok(limiter.take("b"), "forgotten");
});
