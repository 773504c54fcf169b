/** The log in batches: what a record holds, and what a crash, a new leader and a compaction leave of it. */
import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { hasCode } from "../../../../api/errors.ts";
import type { Disk } from "../../../../manager/consensus/disk/disk.ts";
import type { LogEntry } from "../../../../manager/consensus/disk/entry_batch.ts";
import { DiskLog } from "../../../../manager/consensus/disk/disk_log.ts";
import { seal, unseal } from "../../../../manager/consensus/disk/record.ts";
import { DiskStorage } from "../../../../manager/consensus/disk/disk_storage.ts";
import { MemoryDisk } from "../member/memory_disk.ts";

function entry(index: number, term: number, bytes = 3): LogEntry {
  return { index, term, kind: index % 2, data: new Uint8Array(bytes).fill(term * 16 + index) };
}

function entries(from: number, to: number, term: number, bytes?: number): LogEntry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term, bytes));
}

async function stored(disk: Disk): Promise<string[]> {
  return (await Array.fromAsync(disk.list(["log"]))).map(({ key }) => key.join("/"));
}

async function content(log: DiskLog): Promise<LogEntry[]> {
  const read = await Array.fromAsync(log.read(log.firstIndex, log.lastIndex));
  return read.map((e) => ({ ...e, data: new Uint8Array(e.data) }));
}

async function openStorage(memory: MemoryDisk): Promise<{ disk: Disk; storage: DiskStorage }> {
  const disk = memory.open();
  return { disk, storage: await DiskStorage.open(disk) };
}

Deno.test("Log: entries saved together are one record, a large one has parts of its own", async () => {
  const memory = new MemoryDisk();
  const { disk, storage } = await openStorage(memory);
  const all = [...entries(1, 100, 1), entry(101, 1, 150_000), ...entries(102, 110, 1)];
  await storage.save({ entries: all });
  deepStrictEqual(await stored(disk), ["log/1/0", "log/101/0", "log/101/1", "log/101/2", "log/102/0"]);
  strictEqual(memory.commits, 1);
  deepStrictEqual(await content((await openStorage(memory)).storage.log), all);
});

Deno.test("Log: a new leader's entries replace the end of a batch", async () => {
  const memory = new MemoryDisk();
  const { storage } = await openStorage(memory);
  await storage.save({ entries: entries(1, 5, 1) });
  await storage.save({ entries: entries(6, 9, 1) });
  await storage.save({ entries: entries(4, 7, 2) });
  const wanted = [...entries(1, 3, 1), ...entries(4, 7, 2)];
  deepStrictEqual(await content(storage.log), wanted);
  const { disk, storage: again } = await openStorage(memory);
  deepStrictEqual(await content(again.log), wanted);
  deepStrictEqual(await stored(disk), ["log/1/0", "log/4/0"]);
  deepStrictEqual([3, 4, 7, 8].map((index) => again.log.term(index)), [1, 2, 2, undefined]);
});

Deno.test("Log: a crash while a batch's end is replaced leaves its beginning", async () => {
  const memory = new MemoryDisk();
  const { storage } = await openStorage(memory);
  await storage.save({ entries: entries(1, 5, 1) });
  memory.left = 1;
  await rejects(storage.save({ entries: entries(4, 4, 2) }), (e) => hasCode(e, "data_loss"));
  memory.left = Infinity;
  deepStrictEqual(await content((await openStorage(memory)).storage.log), entries(1, 3, 1));
});

Deno.test("Log: compaction inside a batch keeps all of it, until all of it may go", async () => {
  const memory = new MemoryDisk();
  const { disk, storage: { log } } = await openStorage(memory);
  await disk.commit([...log.appending(entries(1, 4, 1))]);
  await disk.commit([...log.appending(entries(5, 9, 1))]);
  await log.compact(6);
  deepStrictEqual([log.firstIndex, log.lastIndex, log.term(4), log.term(5)], [5, 9, undefined, 1]);
  deepStrictEqual(await content(await DiskLog.open(disk, 6, 1)), entries(5, 9, 1));
  await log.compact(9);
  deepStrictEqual([log.firstIndex, log.lastIndex, await stored(disk)], [10, 9, []]);
});

Deno.test("Log: a batch torn at the end is cut off, one torn in the middle is reported", async () => {
  const memory = new MemoryDisk();
  const { disk, storage } = await openStorage(memory);
  await storage.save({ entries: entries(1, 3, 1) });
  await storage.save({ entries: [entry(4, 1, 150_000)] });
  await disk.commit([{ key: ["log", 4, 0], value: undefined }]);
  const { storage: again } = await openStorage(memory);
  deepStrictEqual([again.log.lastIndex, await stored(memory.open())], [3, ["log/1/0"]]);

  const third = (await openStorage(memory)).storage;
  await third.save({ entries: [entry(4, 1, 150_000)] });
  await third.save({ entries: entries(5, 6, 1) });
  await memory.open().commit([{ key: ["log", 4, 0], value: undefined }]);
  await rejects(openStorage(memory), /Cannot read record log\/4\/0: it is missing/);
});

Deno.test("Log: a damaged batch names itself", async () => {
  const memory = new MemoryDisk();
  const { disk, storage } = await openStorage(memory);
  await storage.save({ entries: entries(1, 3, 1) });
  const key = ["log", 1, 0];
  const whole = (await disk.get(key))!;
  for (let at = 0; at < whole.length; at++) {
    const damaged = whole.slice();
    damaged[at]! ^= 4;
    await disk.commit([{ key, value: damaged }]);
    await rejects(DiskStorage.open(disk), /Cannot read record log\/1\/0: its checksum is wrong/);
  }
  const { payload, ...header } = unseal(key, whole);
  for (const cut of [payload.subarray(0, 32), payload.subarray(0, 20), new Uint8Array()]) {
    await disk.commit([{ key, value: seal(key, header, cut) }]);
    await rejects(DiskStorage.open(disk), /Cannot read record log\/1\/0: its entries are not whole/);
  }
});

Deno.test("Storage: another format is refused by its number", async () => {
  const memory = new MemoryDisk();
  const { storage } = await openStorage(memory);
  await storage.saveIdentity({ memberID: 1, nodeID: "n", founder: true });
  await openStorage(memory);
  const key = ["member", "identity"];
  const { payload, ...header } = unseal(key, (await memory.open().get(key))!);
  await memory.open().commit([{ key, value: seal(key, { ...header, kind: 7 }, payload) }]);
  await rejects(
    DiskStorage.open(memory.open()),
    (e) => hasCode(e, "failed_precondition") && /its format is 7, this program reads 2/.test(e.message),
  );
});

Deno.test("Log: appends, replaced ends, compactions and restarts keep what a plain list keeps", async () => {
  const sizes = fc.array(fc.constantFrom(0, 3, 500, 40_000, 130_000), { minLength: 1, maxLength: 12 });
  const step = fc.oneof(
    fc.record({ kind: fc.constant("save" as const), back: fc.nat(6), sizes }),
    fc.record({ kind: fc.constant("compact" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ kind: fc.constant("reopen" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const memory = new MemoryDisk();
      let { storage } = await openStorage(memory);
      let model: LogEntry[] = [];
      let [term, checkpoint] = [1, 0];
      for (const each of steps) {
        const last = model.at(-1)?.index ?? checkpoint;
        if (each.kind === "save") {
          const from = Math.max(checkpoint + 1, last + 1 - each.back);
          const added = each.sizes.map((size, i) => entry(from + i, term, size));
          term++;
          model = [...model.filter(({ index }) => index < from), ...added];
          await storage.save({ entries: added });
        } else if (each.kind === "compact" && last > checkpoint) {
          checkpoint += Math.ceil((last - checkpoint) * each.share);
          await storage.writeCheckpoint(checkpoint, [], storage.membership);
          await storage.log.compact(checkpoint);
        } else ({ storage } = await openStorage(memory));
        const kept = (await content(storage.log)).filter(({ index }) => index > checkpoint);
        model = model.filter(({ index }) => index > checkpoint);
        deepStrictEqual(kept.map(summary), model.map(summary));
        strictEqual(storage.log.lastIndex, model.at(-1)?.index ?? checkpoint);
      }
    }),
    { numRuns: 60 },
  );
});

function summary({ index, term, kind, data }: LogEntry): unknown[] {
  return [index, term, kind, data.length, data[0]];
}
