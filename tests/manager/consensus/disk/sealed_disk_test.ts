import { deepStrictEqual, notStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { commitAll, type Disk, type DiskKey } from "../../../../manager/consensus/disk/disk.ts";
import { openKvDisk } from "../../../../manager/consensus/disk/kv_disk.ts";
import { NeverSealed, SealedDisk } from "../../../../manager/consensus/disk/sealed_disk.ts";
import { newKey } from "../../../../security/mod.ts";
import { filesWith } from "../../../support/search_bytes.ts";
import { MemoryDisk } from "../member/memory_disk.ts";
import { withFolder } from "../member/one_member.ts";

const text = (word: string) => new TextEncoder().encode(word);
const read = (value: Uint8Array | undefined) => value && new TextDecoder().decode(value);

/** All records but the mark, as texts. */
async function contents(disk: Disk): Promise<Record<string, string>> {
  const records: Record<string, string> = {};
  for (const prefix of ["log", "state"]) {
    for await (const { key, value } of disk.list([prefix])) records[key.join("/")] = read(value)!;
  }
  return records;
}

Deno.test("Sealed disk: gives records back as they were, and shows nothing of them in its files", async () => {
  await withFolder(async (folder) => {
    const keys = [newKey()], word = `clear-${crypto.randomUUID()}`;
    const open = async () => await SealedDisk.open(await openKvDisk(`${folder}/state.kv`), keys);
    const disk = await open();
    const big = new Uint8Array(60 * 1024).fill(7);
    await disk.commit([{ key: ["log", 1, 0], value: text(word) }, { key: ["log", 2, 0], value: big }]);
    await commitAll(
      disk,
      Array.from({ length: 1000 }, (_, nth) => ({ key: ["state", 0, nth, 0], value: text(word + nth) })),
    );
    await disk.commit([{ key: ["log", 1, 0], value: undefined }]);
    deepStrictEqual(await filesWith(folder, word), []);
    await disk.close();
    const again = await open();
    deepStrictEqual(await again.get(["log", 2, 0]), big);
    strictEqual(await again.get(["log", 1, 0]), undefined);
    strictEqual(read(await again.get(["state", 0, 999, 0])), `${word}999`);
    strictEqual(Object.keys(await contents(again)).length, 1001);
    await again.close();
    deepStrictEqual(await filesWith(folder, word), []);
  });
});

Deno.test("Sealed disk: a flipped bit, another's place and another key are named, not taken", async () => {
  const memory = new MemoryDisk(), key = newKey();
  const disk = await SealedDisk.open(memory.open(), [key]);
  await disk.commit([{ key: ["log", 7, 0], value: text("a") }, { key: ["log", 8, 0], value: text("b") }]);
  const damaged = /Cannot read record log\/7\/0: it is damaged, or was sealed with a key/;
  memory.flip(["log", 7, 0]);
  await rejects(disk.get(["log", 7, 0]), { code: "data_loss", message: damaged });
  await rejects(Array.fromAsync(disk.list(["log"])), { message: damaged });
  memory.flip(["log", 7, 0]);
  strictEqual(read(await disk.get(["log", 7, 0])), "a");
  const raw = memory.open();
  await raw.commit([{ key: ["log", 7, 0], value: await raw.get(["log", 8, 0]) }]);
  await rejects(disk.get(["log", 7, 0]), { message: damaged });
  // One in clear, put there by somebody who had the disk in his hands.
  await raw.commit([{ key: ["log", 7, 0], value: text("a") }]);
  await rejects(disk.get(["log", 7, 0]), { message: damaged });
  await rejects(SealedDisk.open(memory.open(), [newKey()]), {
    message: /Cannot unseal the state: .*manager\.keys/,
  });
});

Deno.test("Sealed disk: one that holds something in clear is not opened as if it were sealed", async () => {
  const memory = new MemoryDisk(), raw = memory.open();
  await raw.commit([{ key: ["log", 1, 0], value: text("a") }]);
  await rejects(SealedDisk.open(memory.open(), [newKey()]), NeverSealed);
});

Deno.test("Sealed disk: another key takes over, and then the one before opens nothing", async () => {
  const memory = new MemoryDisk(), before = newKey(), after = newKey();
  const disk = await SealedDisk.open(memory.open(), [before]);
  const size = 5 * 1024;
  for (let nth = 0; nth < 120; nth++) {
    await disk.commit([{ key: ["log", nth, 0], value: new Uint8Array(size).fill(nth) }]);
  }
  const commits = memory.commits;
  await disk.useKeys([before, after]);
  ok(memory.commits - commits > 2, "in pieces: what is written meanwhile does not wait for all");
  await rejects(SealedDisk.open(memory.open(), [before]), { code: "data_loss" });
  const again = await SealedDisk.open(memory.open(), [after]);
  for (let nth = 0; nth < 120; nth++) {
    deepStrictEqual(await again.get(["log", nth, 0]), new Uint8Array(size).fill(nth));
  }
});

/** Ends `turns` turns of the event loop later than it would. */
async function late<R>(turns: number, result: Promise<R>): Promise<R> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setTimeout(resolve));
  return await result;
}

/** Commits in order, each only some turns after it was begun, while reads overtake them. */
function slow(disk: Disk): Disk {
  let last: Promise<unknown> = Promise.resolve();
  return {
    ...disk,
    get: (key) => late(1, disk.get(key)),
    commit(mutations) {
      const done = last.then(() => late(3, Promise.resolve())).then(() => disk.commit(mutations));
      last = done.catch(() => {});
      return done;
    },
  };
}

Deno.test("Sealed disk: what is written while a key takes over is neither lost nor undone", async () => {
  const memory = new MemoryDisk(), before = newKey(), after = newKey();
  const disk = await SealedDisk.open(slow(memory.open()), [before]);
  const model: Record<string, string> = {}, writes: Promise<void>[] = [];
  const write = (numbers: number[], round: number) => {
    const mutations = numbers.map((nth) => {
      const key: DiskKey = ["log", nth, 0], name = key.join("/");
      const gone = round > 0 && nth % 7 === round % 7;
      const value = gone ? undefined : text(`${nth} in round ${round}`.padEnd(2000, "."));
      if (value === undefined) delete model[name];
      else model[name] = read(value)!;
      return { key, value };
    });
    writes.push(disk.commit(mutations));
  };
  const count = 600, all = [...Array(count).keys()];
  for (let from = 0; from < count; from += 40) write(all.slice(from, from + 40), 0);
  // Those are still on their way to the disk.
  let done = false;
  const rotation = disk.useKeys([before, after]).then(() => done = true);
  let round = 0;
  // Each record is written once more, so that none covers up for an earlier one; 7 and 600 have no divisor in common.
  for (; !done && round < count / 10; round++) {
    write(all.slice(round * 10, round * 10 + 10).map((nth) => nth * 7 % count), round + 1);
    await late(4, Promise.resolve());
  }
  strictEqual(done, false, "the key took over before all was written again");
  await rotation;
  await Promise.all(writes);
  deepStrictEqual(await contents(disk), model);
  deepStrictEqual(await contents(await SealedDisk.open(memory.open(), [after])), model);
});

Deno.test("Sealed disk: power may go at any commit of a change of keys", async () => {
  const before = newKey(), after = newKey();
  let cuts = 0;
  for (let at = 0;; at++) {
    const memory = new MemoryDisk();
    const disk = await SealedDisk.open(memory.open(), [before]);
    for (let nth = 0; nth < 130; nth++) await disk.commit([{ key: ["log", nth, 0], value: text(`${nth}`) }]);
    memory.left = at;
    const failed = await disk.useKeys([before, after]).then(() => false, () => true);
    memory.left = Infinity;
    const again = await SealedDisk.open(memory.open(), [before, after]);
    strictEqual(Object.keys(await contents(again)).length, 130, `cut at commit ${at}`);
    await again.useKeys([before, after]);
    strictEqual(Object.keys(await contents(await SealedDisk.open(memory.open(), [after]))).length, 130);
    if (!failed) break;
    cuts++;
  }
  notStrictEqual(cuts, 0);
});
