import assert from "node:assert/strict";
import { HeapKeeper, MAX_GROWTH_BYTES } from "../../agent/heap_keeper.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A heap of which `live` is alive, and its keeper. */
function keptHeap(clock: FakeClock) {
  const heap = { live: 7_000_000, used: 9_000_000, collections: 0 };
  const keeper = new HeapKeeper({
    clock,
    usedBytes: () => heap.used,
    collect: () => {
      heap.used = heap.live;
      heap.collections++;
    },
  });
  keeper.start();
  return { heap, keeper };
}

Deno.test("Heap keeper: collects after the start, then only what has grown since the last time", async () => {
  const clock = new FakeClock(), { heap, keeper } = keptHeap(clock);
  await clock.advance(5_000);
  assert.equal(heap.collections, 1, "soon after the start");
  await clock.advance(60_000);
  assert.equal(heap.collections, 1);
  heap.used = heap.live + MAX_GROWTH_BYTES;
  await clock.advance(3_600_000);
  assert.equal(heap.collections, 1, "an idle agent has nothing to collect");
  heap.used++;
  await clock.advance(30_000);
  assert.deepEqual([heap.collections, heap.used], [2, heap.live]);
  keeper.stop();
  assert.equal(clock.pending, 0);
});

Deno.test("Heap keeper: collects once more when a busy time is over, of which the last collection was in the middle", async () => {
  const clock = new FakeClock(), { heap, keeper } = keptHeap(clock);
  await clock.advance(5_000);
  const idle = heap.live;
  heap.live = heap.used = idle + 8 * MAX_GROWTH_BYTES;
  await clock.advance(30_000);
  assert.deepEqual([heap.collections, heap.used], [2, heap.live], "in the middle");
  heap.live = idle;
  await clock.advance(30_000);
  assert.deepEqual([heap.collections, heap.used], [3, idle], "after it");
  await clock.advance(3_600_000);
  assert.equal(heap.collections, 3, "and never again");
  keeper.stop();
});
