import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { commitAll, type Disk, type DiskKey } from "../../../../manager/consensus/disk/disk.ts";
import { openKvDisk } from "../../../../manager/consensus/disk/kv_disk.ts";
import { lockFolder } from "../../../../manager/consensus/disk/folder_lock.ts";
import { sealFolder, sealingFolders, settleFolder } from "../../../../manager/consensus/disk/seal_folder.ts";
import { SealedDisk } from "../../../../manager/consensus/disk/sealed_disk.ts";
import { seal, unseal } from "../../../../manager/consensus/disk/record.ts";
import { newKey } from "../../../../security/mod.ts";
import { filesWith } from "../../../support/search_bytes.ts";
import { withFolder } from "../member/one_member.ts";

const RECORDS = 600;
const HEADER = { major: 1, minor: 1, kind: 0, part: 0, parts: 1 };

async function withDisk(path: string, use: (disk: Disk) => Promise<void>): Promise<void> {
  const disk = await openKvDisk(path);
  try {
    await use(disk);
  } finally {
    await disk.close();
  }
}

/** A state in clear, some of which was deleted. */
async function writePlain(raft: string, word: string): Promise<void> {
  await Deno.mkdir(raft);
  await withDisk(`${raft}/state.kv`, async (disk) => {
    const keys: DiskKey[] = Array.from({ length: 2 * RECORDS }, (_, nth) => ["log", nth, 0]);
    const value = (key: DiskKey) => seal(key, HEADER, new TextEncoder().encode(word));
    await commitAll(disk, keys.map((key) => ({ key, value: value(key) })));
    await commitAll(disk, keys.slice(RECORDS).map((key) => ({ key, value: undefined })));
  });
}

async function checkSealed(raft: string, word: string, keys: readonly Uint8Array[]): Promise<void> {
  await withDisk(`${raft}/state.kv`, async (disk) => {
    const records = await Array.fromAsync((await SealedDisk.open(disk, keys)).list(["log"]));
    strictEqual(records.length, RECORDS);
    ok(records.every(({ key, value }) => new TextDecoder().decode(unseal(key, value).payload) === word));
  });
}

Deno.test("Sealing a folder: a state in clear is there as it was, and in clear no more, wherever the power went", async () => {
  const word = `clear-${crypto.randomUUID()}`, keys = [newKey()];
  const { cuts, settled } = cutsOf(word, keys);
  for (const [name, cut] of Object.entries(cuts)) {
    await withFolder(async (folder) => {
      const raft = `${folder}/raft`;
      await cut(raft);
      await settleFolder(raft);
      if (!settled.includes(name)) await sealFolder(raft, "state.kv", keys);
      await checkSealed(raft, word, keys);
      deepStrictEqual(await filesWith(folder, word), [], name);
      await settleFolder(raft);
      await checkSealed(raft, word, keys);
      deepStrictEqual(
        (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name),
        ["raft"],
        name,
      );
    });
  }
});

/** What a crash leaves, and in which cases the state is sealed already. */
function cutsOf(word: string, keys: readonly Uint8Array[]) {
  const cuts: Record<string, (raft: string) => Promise<void>> = {
    "no cut": (raft) => writePlain(raft, word),
    "while it is copied": async (raft) => {
      await writePlain(raft, word);
      await Deno.mkdir(`${raft}.sealing`);
      await withDisk(
        `${raft}.sealing/state.kv`,
        async (disk) => void await SealedDisk.open(disk, [newKey()]),
      );
    },
    "between the two renames": async (raft) => {
      await writePlain(raft, word);
      await sealFolder(raft, "state.kv", keys);
      const { plain, sealing } = sealingFolders(raft);
      await Deno.rename(raft, sealing);
      await writePlain(plain, word);
    },
    "before the clear one is removed": async (raft) => {
      await writePlain(raft, word);
      await sealFolder(raft, "state.kv", keys);
      await writePlain(`${raft}.plain`, word);
    },
  };
  return { cuts, settled: ["between the two renames", "before the clear one is removed"] };
}

Deno.test("Sealing a folder: what somebody uses is left alone, and none is none", async () => {
  await withFolder(async (folder) => {
    const raft = `${folder}/raft`;
    await settleFolder(raft);
    deepStrictEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    await writePlain(raft, "clear");
    const unlock = await lockFolder(raft);
    await rejects(sealFolder(raft, "state.kv", [newKey()]), { code: "failed_precondition" });
    unlock();
  });
});

Deno.test("Sealing a folder: what is damaged, or has lost its mark, is named and left as it is", async () => {
  await withFolder(async (folder) => {
    const raft = `${folder}/raft`, keys = [newKey()];
    await writePlain(raft, "clear");
    await sealFolder(raft, "state.kv", keys);
    await withDisk(`${raft}/state.kv`, (disk) => disk.commit([{ key: ["sealed"], value: undefined }]));
    await rejects(sealFolder(raft, "state.kv", keys), { message: /Cannot read record log\/0\/0/ });
    await withDisk(`${raft}/state.kv`, async (disk) => {
      strictEqual((await Array.fromAsync(disk.list(["log"]))).length, RECORDS);
    });
  });
});
