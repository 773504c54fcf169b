import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { commitAll } from "../../../../manager/consensus/disk/disk.ts";
import { openKvDisk } from "../../../../manager/consensus/disk/kv_disk.ts";
import { withFolder } from "../member/one_member.ts";

/** Beside and exactly at the numbers of records that are read at once. */
const COUNTS = [0, 1, 124, 125, 126, 250, 600];

Deno.test("Disk: lists every record once and in order, however many there are", async () => {
  await withFolder(async (folder) => {
    const disk = await openKvDisk(`${folder}/consensus.kv`);
    const value = new Uint8Array([1]);
    for (const count of COUNTS) {
      await commitAll(disk, Array.from({ length: count }, (_, nth) => ({ key: [`${count}`, nth], value })));
    }
    for (const count of COUNTS) {
      const all = await Array.fromAsync(disk.list([`${count}`]));
      deepStrictEqual(all.map(({ key }) => key[1]), [...Array(count).keys()]);
      const rest = await Array.fromAsync(disk.list([`${count}`], [`${count}`, 1]));
      strictEqual(rest.length, Math.max(0, count - 1));
    }
    await disk.close();
  });
});

Deno.test("Disk: who stops in the middle of a list, or meets an error, leaves nothing open", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/consensus.kv`;
    const disk = await openKvDisk(path);
    const value = new Uint8Array([1]);
    await commitAll(disk, Array.from({ length: 600 }, (_, nth) => ({ key: ["a", nth], value })));
    let seen = 0;
    for await (const _ of disk.list(["a"])) if (++seen === 130) break;
    const kv = await Deno.openKv(path);
    await kv.set(["a", 200], "not bytes");
    kv.close();
    await rejects(Array.fromAsync(disk.list(["a"])), { code: "data_loss" });
    await disk.close();
  });
});
