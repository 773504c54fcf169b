import assert from "node:assert/strict";
import { HeapKeeper, MAX_GROWTH_BYTES } from "../../agent/heap_keeper.ts";
import { FakeClock } from "../support/fake_clock.ts";

Deno.test("Heap keeper: collects after the start, then only what has grown since the last time", async () => {
  const clock = new FakeClock();
  const live = 7_000_000;
  let used = 9_000_000, collections = 0;
  const keeper = new HeapKeeper({
    clock,
    usedBytes: () => used,
    collect: () => {
      used = live;
      collections++;
    },
  });
  keeper.start();
  await clock.advance(5_000);
  assert.equal(collections, 1, "soon after the start");
  await clock.advance(60_000);
  assert.equal(collections, 1);
  used = live + MAX_GROWTH_BYTES;
  await clock.advance(3_600_000);
  assert.equal(collections, 1, "an idle agent has nothing to collect");
  used++;
  await clock.advance(30_000);
  assert.deepEqual([collections, used], [2, live]);
  keeper.stop();
  assert.equal(clock.pending, 0);
});
