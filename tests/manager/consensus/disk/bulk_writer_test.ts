/** Long writes leave the disk to short ones: at most so much at once, and pauses as long as they are busy. */
import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { BulkWriter } from "../../../../manager/consensus/disk/bulk_writer.ts";
import type { Disk, Mutation } from "../../../../manager/consensus/disk/disk.ts";
import { sleep } from "../../../../api/clock.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { MemoryDisk } from "../member/memory_disk.ts";

const MUTATIONS: Mutation[] = Array.from({ length: 40 }, (_, n) => ({
  key: ["state", 0, n],
  value: new Uint8Array(60_000),
}));

/** A disk that needs `ms` for each commit, and what was committed when. */
function slowDisk(clock: FakeClock, ms: number): { disk: Disk; commits: { at: number; bytes: number }[] } {
  const commits: { at: number; bytes: number }[] = [];
  const inner = new MemoryDisk().open();
  const disk = Object.create(inner, {
    commit: {
      value: async (mutations: readonly Mutation[]) => {
        const at = clock.monotonic();
        await sleep(clock, ms);
        commits.push({ at, bytes: mutations.reduce((sum, { value }) => sum + value!.length, 0) });
        await inner.commit(mutations);
      },
    },
  });
  return { disk, commits };
}

/** Moves time on until `work` has ended; returns the milliseconds. */
async function duration(clock: FakeClock, work: Promise<void>): Promise<number> {
  const begin = clock.monotonic();
  let end: number | undefined;
  void work.catch(() => {}).finally(() => end = clock.monotonic());
  while (end === undefined) await clock.advance(100);
  await work;
  return end - begin;
}

Deno.test("BulkWriter: writes little at once, and leaves the disk to others for most of the time", async () => {
  const clock = new FakeClock();
  const { disk, commits } = slowDisk(clock, 5);
  const ms = await duration(clock, new BulkWriter(disk, { clock }).commit(MUTATIONS));
  ok(commits.every(({ bytes }) => bytes <= 256 * 1024), `${commits.map(({ bytes }) => bytes)} bytes`);
  strictEqual(commits.length, 10);
  ok(ms >= 4 * 5 * 9, `${ms} ms`);
  strictEqual((await Array.fromAsync(disk.list(["state"]))).length, MUTATIONS.length);
});

Deno.test("BulkWriter: a disk that stands still for a second is not left alone for three", async () => {
  const clock = new FakeClock();
  const { disk, commits } = slowDisk(clock, 1_000);
  await duration(clock, new BulkWriter(disk, { clock }).commit(MUTATIONS.slice(0, 8)));
  const [first, second] = commits;
  ok(second!.at - first!.at <= 1_110, `${second!.at - first!.at} ms from one commit to the next`);
});

Deno.test("BulkWriter: makes no pauses once it has to hurry, or without a clock", async () => {
  const clock = new FakeClock();
  const { disk, commits } = slowDisk(clock, 5);
  const hurries = () => commits.length >= 4;
  ok(await duration(clock, new BulkWriter(disk, { clock, hurries }).commit(MUTATIONS)) < 4 * 20 + 6 * 7);
  ok(await duration(clock, new BulkWriter(disk, {}).commit(MUTATIONS)) < 10 * 7);
});

Deno.test("BulkWriter: ends between two commits when it is told to", async () => {
  const clock = new FakeClock();
  const { disk, commits } = slowDisk(clock, 5);
  const abort = new AbortController();
  const written = new BulkWriter(disk, { clock, signal: abort.signal }).commit(MUTATIONS);
  clock.setTimer(30, () => abort.abort(new Error("enough")));
  await rejects(duration(clock, written), /enough/);
  const keys = (await Array.fromAsync(disk.list(["state"]))).map(({ key }) => key[2]);
  ok(commits.length >= 1 && commits.length <= 3, `${commits.length} commits`);
  deepStrictEqual(keys, keys.map((_, n) => n));
});
