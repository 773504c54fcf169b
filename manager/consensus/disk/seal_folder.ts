/**
 * Seals the state of a manager that wrote it in clear, as earlier versions did. The state is copied to a folder of its own,
 * which then takes the place of the one before: in one file, pages that SQLite has freed would still hold the clear text.
 *
 *     raft  raft.sealing            being copied: what is in raft.sealing is thrown away
 *     raft.plain  raft.sealing      the copy is whole, and is put in its place
 *     raft  raft.plain              done, but for what was in clear
 */
import { dirname } from "node:path";
import { CoveyError } from "../../../api/errors.ts";
import { exists, systemFileSystem } from "../../../security/mod.ts";
import { commitAll, type Disk, type Mutation } from "./disk.ts";
import { openKvDisk } from "./kv_disk.ts";
import { lockFolder } from "./folder_lock.ts";
import { unseal } from "./record.ts";
import { SealedDisk } from "./sealed_disk.ts";

/** The folders beside a state's own in which a crash may leave some of it. */
export function sealingFolders(folder: string): { plain: string; sealing: string } {
  return { plain: `${folder}.plain`, sealing: `${folder}.sealing` };
}

/** Records of one commit; those are of 60 KiB at most. */
const COPIED_AT_ONCE = 250;
/** Longest wait for SQLite to put its log into a file that was closed, which it does on a thread of its own. */
const MAX_CLOSING_MS = 30_000;
const POLL_MS = 5;

/** Brings to an end what a crash left of {@linkcode sealFolder}, or takes it back. */
export async function settleFolder(folder: string): Promise<void> {
  const { plain, sealing } = sealingFolders(folder);
  if (!await exists(folder) && await exists(plain)) {
    await Deno.rename(sealing, folder);
    await systemFileSystem.syncFolder(dirname(folder));
  }
  for (const left of [sealing, plain]) if (await exists(left)) await Deno.remove(left, { recursive: true });
}

/**
 * Seals the state in `folder`, whose file is `file`, with the last of `keys`, and leaves nothing of it in clear. A crash at
 * any moment leaves what {@linkcode settleFolder} settles: the one or the other. Throws `data_loss` naming a record that is
 * damaged, `failed_precondition` if another manager uses the folder; then it is as it was.
 */
export async function sealFolder(folder: string, file: string, keys: readonly Uint8Array[]): Promise<void> {
  const { plain, sealing } = sealingFolders(folder);
  const unlock = await lockFolder(folder);
  try {
    await Deno.mkdir(sealing, { mode: 0o700 });
    await copySealed(`${folder}/${file}`, `${sealing}/${file}`, keys);
    await systemFileSystem.syncFolder(sealing);
    await Deno.rename(folder, plain);
    await Deno.rename(sealing, folder);
    await systemFileSystem.syncFolder(dirname(folder));
    await Deno.remove(plain, { recursive: true });
  } finally {
    unlock();
  }
}

async function copySealed(from: string, to: string, keys: readonly Uint8Array[]): Promise<void> {
  await withDisk(from, (plain) =>
    withDisk(to, async (copy) => {
      const sealed = await SealedDisk.open(copy, keys);
      let some: Mutation[] = [];
      for await (const record of plain.list([])) {
        // What is damaged, or sealed though its mark is gone, must not come out as if it were whole.
        unseal(record.key, record.value);
        some.push(record);
        if (some.length < COPIED_AT_ONCE) continue;
        await commitAll(sealed, some);
        some = [];
      }
      await commitAll(sealed, some);
    }));
}

/** Resolves once the file stands alone: a folder that is moved before would lose the log beside it to its old name. */
async function withDisk<R>(path: string, use: (disk: Disk) => Promise<R>): Promise<R> {
  const disk = await openKvDisk(path);
  let result: R;
  try {
    result = await use(disk);
  } finally {
    await disk.close();
  }
  const limit = performance.now() + MAX_CLOSING_MS;
  while (await exists(`${path}-wal`)) {
    if (performance.now() > limit) {
      throw new CoveyError("unavailable", `Cannot close ${path}: it is still in use`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return result;
}
