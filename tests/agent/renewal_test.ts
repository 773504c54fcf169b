/** When an agent that has grown ends to be started again, and when it does not. */
import assert from "node:assert/strict";
import { HeapKeeper, MAX_GROWTH_BYTES } from "../../agent/heap_keeper.ts";
import { GrowthWatch, Renewal } from "../../agent/renewal.ts";
import { CoveyError } from "../../api/errors.ts";
import { FakeClock } from "../support/fake_clock.ts";

const HOUR_MS = 3_600_000, QUARTER_MS = 900_000, MINUTE_MS = 60_000;
const LIMITS = { percent: 7, afterMs: QUARTER_MS };
/** The same for many looks. */
const SOON = { percent: 7, afterMs: 10 * MINUTE_MS };
const MB = 1e6, BASE = 60 * MB, MUCH = 64.3 * MB, LITTLE = 64.1 * MB;

const quiet = (bytes: number, nowMs: number) => ({ bytes, nowMs, isBusy: false, isCollected: false });
const collected = (bytes: number, nowMs: number) => ({ bytes, nowMs, isBusy: false, isCollected: true });
const busy = (bytes: number, nowMs: number) => ({ bytes, nowMs, isBusy: true, isCollected: true });

Deno.test("Growth watch: is due when more than its share has stayed after a collection, and not too soon after its start", () => {
  const watch = new GrowthWatch(LIMITS, 0);
  assert.equal(watch.look(collected(BASE, 4_000)), false);
  assert.equal(watch.look(quiet(LITTLE, 8 * MINUTE_MS)), false, "no more than its share");
  assert.equal(watch.look(quiet(MUCH, 9 * MINUTE_MS)), true, "it may be garbage");
  assert.equal(watch.due(2 * HOUR_MS), undefined);
  assert.equal(watch.look(collected(MUCH, 9 * MINUTE_MS + 2)), false);
  assert.equal(watch.due(QUARTER_MS - 1), undefined);
  assert.deepEqual(watch.due(QUARTER_MS), { from: BASE, to: MUCH });
  assert.equal(watch.look(quiet(MUCH, QUARTER_MS)), false, "nothing is collected again for what is known");
  assert.equal(watch.look(quiet(LITTLE, QUARTER_MS + 1)), false);
  assert.equal(watch.due(QUARTER_MS + 1), undefined, "it has shrunk");
});

Deno.test("Growth watch: what is compared with is the most of its first two minutes, in quiet moments", () => {
  const watch = new GrowthWatch(LIMITS, 0);
  watch.look(collected(50 * MB, 4_000));
  watch.look(busy(90 * MB, MINUTE_MS));
  watch.look(quiet(BASE, 2 * MINUTE_MS));
  assert.equal(watch.look(quiet(LITTLE, 5 * MINUTE_MS)), false);
  assert.equal(watch.look(quiet(MUCH, 6 * MINUTE_MS)), true);
});

Deno.test("Growth watch: one that was started in a busy time is compared with what it comes down to, and with nothing less later", () => {
  const watch = new GrowthWatch(LIMITS, 0);
  watch.look(collected(81 * MB, 4_000));
  watch.look(busy(84 * MB, MINUTE_MS));
  assert.equal(watch.look(collected(BASE, 8 * MINUTE_MS)), false);
  watch.look(collected(MUCH, 9 * MINUTE_MS));
  assert.deepEqual(watch.due(QUARTER_MS), { from: BASE, to: MUCH });
  watch.look(quiet(50 * MB, QUARTER_MS));
  assert.equal(
    watch.look(quiet(BASE, QUARTER_MS + MINUTE_MS)),
    false,
    "tasks that come and go are no growth",
  );
  assert.equal(watch.due(QUARTER_MS + MINUTE_MS), undefined);
});

Deno.test("Growth watch: a busy time does not count, but where no other comes for an hour", () => {
  const watch = new GrowthWatch(LIMITS, 0);
  watch.look(collected(BASE, 4_000));
  for (let at = MINUTE_MS; at < HOUR_MS; at += MINUTE_MS) assert.equal(watch.look(busy(90 * MB, at)), false);
  assert.equal(watch.due(HOUR_MS), undefined);
  watch.look(busy(90 * MB, HOUR_MS + 4_000));
  assert.deepEqual(watch.due(HOUR_MS + 4_000), { from: BASE, to: 90 * MB });
  const always = new GrowthWatch(LIMITS, 0);
  let due: unknown, at = 0;
  for (; !due && at < 24 * HOUR_MS; at += MINUTE_MS) {
    always.look(busy(BASE + at * 2, at));
    due = always.due(at);
  }
  assert.deepEqual(
    due,
    { from: BASE + 2 * HOUR_MS, to: BASE + 4 * HOUR_MS },
    "also with no quiet moment ever",
  );
});

/** An agent's memory, kept and watched. */
function agent(clock: FakeClock) {
  const seen = {
    resident: BASE,
    garbage: 0,
    used: 0,
    collections: 0,
    isQuiet: true,
    asked: 0,
    renewals: [] as number[],
  };
  let fails = false;
  const renewal = new Renewal({
    clock,
    limits: SOON,
    residentBytes: () => seen.resident + seen.garbage,
    isQuiet: () => {
      seen.asked++;
      if (fails) return Promise.reject(new CoveyError("unavailable", "Cannot read"));
      return Promise.resolve(seen.isQuiet);
    },
    renew: () => void seen.renewals.push(clock.monotonic()),
  });
  const keeper = new HeapKeeper({
    clock,
    usedBytes: () => seen.used,
    collect: () => {
      seen.used = seen.garbage = 0;
      seen.collections++;
    },
    onLook: (look) => renewal.look(look),
  });
  keeper.start();
  const stop = () => {
    keeper.stop();
    renewal.stop();
  };
  return { seen, stop, fail: (does: boolean) => fails = does };
}

Deno.test("Renewal: an agent that does not grow is never renewed, nor is one whose growth is garbage", async () => {
  const clock = new FakeClock(), { seen, stop } = agent(clock);
  for (let time = 0; time < 20; time++) {
    await clock.advance(2 * MINUTE_MS);
    seen.resident = time % 2 ? BASE : LITTLE;
    seen.used += MAX_GROWTH_BYTES + 1;
  }
  await clock.advance(2 * MINUTE_MS);
  assert.equal(seen.asked, 0);
  const { collections } = seen;
  seen.garbage = MUCH - BASE;
  await clock.advance(31_000);
  assert.equal(seen.collections, collections + 1);
  await clock.advance(30 * MINUTE_MS);
  assert.deepEqual([seen.asked, seen.renewals, seen.collections], [0, [], collections + 1]);
  stop();
  await clock.advance(2_000);
  assert.equal(clock.pending, 0);
});

Deno.test("Renewal: one that has grown is renewed once, some time after its start and in a quiet moment, which it waits for", async () => {
  const clock = new FakeClock(), { seen, stop, fail } = agent(clock), start = clock.monotonic();
  await clock.advance(5 * MINUTE_MS);
  seen.resident = MUCH;
  seen.isQuiet = false;
  await clock.advance(4 * MINUTE_MS);
  assert.equal(seen.asked, 0, "too early");
  const { collections } = seen;
  await clock.advance(10 * MINUTE_MS);
  assert.ok(seen.asked > 400, "a quiet moment may be short");
  assert.equal(seen.collections, collections, "and costs nothing to wait for");
  fail(true);
  seen.isQuiet = true;
  await clock.advance(10_000);
  assert.deepEqual(seen.renewals, [], "who cannot see it does not end");
  fail(false);
  await clock.advance(1_000);
  assert.equal(seen.renewals.length, 1);
  assert.ok(seen.renewals[0]! - start > SOON.afterMs);
  await clock.advance(30 * MINUTE_MS);
  assert.equal(seen.renewals.length, 1);
  stop();
});

Deno.test("Renewal: one that has shrunk again while it waited goes on", async () => {
  const clock = new FakeClock(), { seen, stop } = agent(clock);
  await clock.advance(5 * MINUTE_MS);
  seen.resident = MUCH;
  seen.isQuiet = false;
  await clock.advance(10 * MINUTE_MS);
  seen.resident = BASE;
  await clock.advance(MINUTE_MS);
  const { asked } = seen;
  seen.isQuiet = true;
  await clock.advance(30 * MINUTE_MS);
  assert.deepEqual([seen.asked, seen.renewals], [asked, []]);
  seen.resident = MUCH;
  await clock.advance(MINUTE_MS);
  assert.equal(seen.renewals.length, 1, "and is renewed when it has grown again");
  stop();
});
