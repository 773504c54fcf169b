import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { openKvDisk } from "../../../../manager/consensus/disk/kv_disk.ts";
import type { LogEntry } from "../../../../manager/consensus/disk/entry_batch.ts";
import { DiskStorage } from "../../../../manager/consensus/disk/disk_storage.ts";
import { EMPTY_CONF_STATE } from "../../../../manager/raft/mod.ts";
import { withFolder } from "../member/one_member.ts";

const NOBODY = { confState: EMPTY_CONF_STATE, addresses: [] };
const MEMBERSHIP = {
  confState: { ...EMPTY_CONF_STATE, voters: [7], removed: [9] },
  addresses: [{ memberID: 7, nodeID: "n", address: "a:1" }],
};

function entry(index: number, term: number, bytes = 3): LogEntry {
  return { index, term, kind: index % 2, data: new Uint8Array(bytes).fill(index) };
}

async function withStorage(folder: string, use: (storage: DiskStorage) => Promise<void>): Promise<void> {
  const disk = await openKvDisk(`${folder}/consensus.kv`);
  try {
    await use(await DiskStorage.open(disk));
  } finally {
    await disk.close();
  }
}

/** The records that count: of each key the last. */
async function stateOf(storage: DiskStorage): Promise<[string, Uint8Array][]> {
  const state = new Map<string, Uint8Array>();
  await storage.loadState(({ key, value }) => void (value ? state.set(key, value) : state.delete(key)));
  return [...state];
}

Deno.test("Storage: keeps what Raft must not forget", async () => {
  await withFolder(async (folder) => {
    const identity = { memberID: 7, nodeID: "n", founder: true };
    const hardState = { term: 3, vote: 7, commit: 2 };
    const entries = [entry(1, 2), entry(2, 3, 200_000)];
    await withStorage(folder, async (storage) => {
      await storage.saveIdentity(identity);
      await storage.save({ hardState, entries });
    });
    await withStorage(folder, async (storage) => {
      deepStrictEqual(storage.identity, identity);
      deepStrictEqual(storage.hardState, hardState);
      const read = await Array.fromAsync(storage.log.read(1, 2));
      deepStrictEqual(read.map((e) => ({ ...e, data: new Uint8Array(e.data) })), entries);
      deepStrictEqual([storage.term(0), storage.term(1), storage.term(2), storage.term(3)], [
        0,
        2,
        3,
        undefined,
      ]);
    });
  });
});

Deno.test("Storage: entries of a new leader replace the end of the log", async () => {
  await withFolder(async (folder) => {
    await withStorage(folder, async (storage) => {
      await storage.save({ entries: [1, 2, 3, 4, 5].map((index) => entry(index, 1, 150_000)) });
      await storage.save({ entries: [entry(3, 2), entry(4, 2)] });
      throws(() => [...storage.log.appending([entry(6, 2)])], RangeError);
    });
    await withStorage(folder, async (storage) => {
      strictEqual(storage.log.lastIndex, 4);
      const read = await Array.fromAsync(storage.log.read(1, 4));
      deepStrictEqual(read.map(({ index, term, data }) => [index, term, data.length]), [
        [1, 1, 150_000],
        [2, 1, 150_000],
        [3, 2, 3],
        [4, 2, 3],
      ]);
    });
  });
});

Deno.test("Storage: a log longer than the checkpoint needs stays readable", async () => {
  await withFolder(async (folder) => {
    await withStorage(folder, async (storage) => {
      for (const index of [1, 2, 3, 4, 5]) await storage.save({ entries: [entry(index, index)] });
      await storage.writeCheckpoint(4, [{ key: "a", value: new Uint8Array([1]) }], MEMBERSHIP);
      await storage.log.compact(2);
    });
    await withStorage(folder, async (storage) => {
      deepStrictEqual([storage.checkpointIndex, storage.log.firstIndex, storage.log.lastIndex], [4, 3, 5]);
      deepStrictEqual([2, 3, 4, 5].map((index) => storage.term(index)), [undefined, 3, 4, 5]);
      await storage.log.compact(5);
      deepStrictEqual([storage.log.firstIndex, storage.log.lastIndex], [6, 5]);
    });
    await withStorage(folder, (storage) => {
      throws(() => storage.writeCheckpoint(9, [], MEMBERSHIP), RangeError);
      return Promise.resolve();
    });
  });
});

Deno.test("Storage: a snapshot from another member replaces state and log", async () => {
  await withFolder(async (folder) => {
    const hardState = { term: 5, vote: 0, commit: 50 };
    const record = (key: string, bytes: number) => ({ key, value: new Uint8Array(bytes).fill(bytes % 251) });
    await withStorage(folder, async (storage) => {
      await storage.save({ entries: [entry(1, 1), entry(2, 1)] });
      await storage.writeCheckpoint(2, [record("old", 5), record("old big", 200_000)], NOBODY);
      await storage.save({ entries: [entry(3, 1)] });
      const state = storage.stage();
      await state.add([record("new", 6), record("new big", 900_000)]);
      await state.end();
      await storage.install({ index: 50, term: 4, state, membership: MEMBERSHIP, hardState });
      await storage.save({ entries: [entry(51, 4)] });
    });
    await withStorage(folder, async (storage) => {
      const state = await stateOf(storage);
      deepStrictEqual([storage.membership, storage.hardState], [MEMBERSHIP, hardState]);
      deepStrictEqual(
        state.map(([key, value]) => [key, value.length, value[0]]),
        [["new", 6, 6], ["new big", 900_000, 900_000 % 251]],
      );
      deepStrictEqual([storage.log.firstIndex, storage.log.lastIndex, storage.term(50)], [51, 51, 4]);
    });
    const kv = await Deno.openKv(`${folder}/consensus.kv`);
    strictEqual((await Array.fromAsync(kv.list({ prefix: ["state", 0] }))).length, 0);
    kv.close();
  });
});

Deno.test("Storage: a snapshot that is still being stored changes nothing, and is gone after a crash", async () => {
  await withFolder(async (folder) => {
    const big = (key: string) => ({ key, value: new Uint8Array(400_000).fill(key.length) });
    await withStorage(folder, async (storage) => {
      await storage.save({ entries: [entry(1, 1)] });
      const state = storage.stage();
      await state.add([big("a"), big("bb")]);
      await storage.writeCheckpoint(1, [big("old")], NOBODY);
      await state.add([big("ccc")]);
      await storage.save({ entries: [entry(2, 1)] });
      await storage.writeCheckpoint(2, [{ key: "older", value: new Uint8Array(9) }], NOBODY);
    });
    await withStorage(folder, async (storage) => {
      deepStrictEqual([storage.checkpointIndex, storage.log.lastIndex], [2, 2]);
      deepStrictEqual((await stateOf(storage)).map(([key]) => key), ["old", "older"]);
    });
    const kv = await Deno.openKv(`${folder}/consensus.kv`);
    const epochs = (await Array.fromAsync(kv.list({ prefix: ["state"] }))).map(({ key }) => key[1]);
    deepStrictEqual([...new Set(epochs)], [0]);
    kv.close();
  });
});

Deno.test("Storage: of two snapshots that are stored at a time, the one that is installed counts", async () => {
  await withFolder(async (folder) => {
    const big = (key: string) => ({ key, value: new Uint8Array(400_000) });
    await withStorage(folder, async (storage) => {
      const [first, second] = [storage.stage(), storage.stage()];
      await first.add([big("a"), big("b")]);
      await second.add([big("c"), big("d")]);
      await first.drop();
      await rejects(first.add([big("e")]), { code: "canceled" });
      await second.end();
      const hardState = { term: 4, vote: 0, commit: 50 };
      await storage.install({ index: 50, term: 4, state: second, membership: MEMBERSHIP, hardState });
      deepStrictEqual((await stateOf(storage)).map(([key]) => key), ["c", "d"]);
    });
  });
});

Deno.test("Storage: checkpoints keep the newest record of each key, and little else", async () => {
  const changes = fc.array(
    fc.tuple(
      fc.constantFrom("a", "b", "c", "d", "e", "f"),
      fc.constantFrom(-1, 10, 90_000, 150_000, 800_000),
    ),
    { maxLength: 8 },
  );
  const rounds = fc.array(fc.record({ changes, reopen: fc.boolean() }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(rounds, async (list) => {
      await withFolder(async (folder) => {
        const state = new Map<string, Uint8Array>();
        let disk = await openKvDisk(`${folder}/consensus.kv`);
        let storage = await DiskStorage.open(disk);
        for (const [round, { changes, reopen }] of list.entries()) {
          const dirty = new Map(
            changes.map(([key, size]) => [key, size < 0 ? undefined : filled(size, round)]),
          );
          for (const [key, value] of dirty) value ? state.set(key, value) : state.delete(key);
          await storage.save({ entries: [entry(round + 1, 1)] });
          await storage.writeCheckpoint(
            round + 1,
            [...dirty].map(([key, value]) => ({ key, value })),
            NOBODY,
          );
          await storage.log.compact(round + 1);
          if (!reopen) continue;
          await disk.close();
          disk = await openKvDisk(`${folder}/consensus.kv`);
          storage = await DiskStorage.open(disk);
          await stateOf(storage);
        }
        const loaded = await stateOf(storage);
        deepStrictEqual(summary(loaded), summary([...state]));
        const stored = await Array.fromAsync(disk.list(["state"]));
        const bytes = stored.reduce((sum, { value }) => sum + value.length, 0);
        const live = [...state.values()].reduce((sum, value) => sum + value.length, 0);
        // Doomed segments are noticed by the next checkpoint, which at most doubles what a round writes.
        ok(bytes <= 2 * live + 8 * 800_000 + 1_000_000, `${bytes} bytes stored, ${live} live`);
        await disk.close();
      });
    }),
    { numRuns: 40 },
  );
});

function filled(size: number, value: number): Uint8Array {
  return new Uint8Array(size).fill(value);
}

function summary(records: [string, Uint8Array][]): unknown {
  return records.map(([key, value]) => [key, value.length, value[0]]).sort();
}

Deno.test("Storage: refuses members that are not those of the checkpoint (simulation seed 28)", async () => {
  const key = ["member", "membership"];
  const hardState = { term: 4, vote: 0, commit: 50 };
  await withFolder(async (folder) => {
    const path = `${folder}/consensus.kv`;
    const image = { term: 4, membership: MEMBERSHIP, hardState };
    const disk = await openKvDisk(path);
    const storage = await DiskStorage.open(disk);
    await storage.install({ ...image, index: 50, state: storage.stage() });
    const old = await disk.get(key);
    await storage.install({ ...image, index: 60, state: storage.stage() });
    await disk.commit([{ key, value: old }]);
    await rejects(DiskStorage.open(disk), /membership: it is not as of the checkpoint's index 60/);
    await disk.commit([{ key, value: undefined }]);
    await rejects(DiskStorage.open(disk), { code: "data_loss" });
    await disk.close();
  });
});
