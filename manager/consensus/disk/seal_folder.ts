/**
 * Seals the state of a manager that wrote it in clear, as earlier versions did. The state is copied to a folder of its own,
 * which then takes the place of the one before: in one file, pages that SQLite has freed would still hold the clear text.
 *
 *     raft  raft.sealing            being copied: what is in raft.sealing is thrown away
 *     raft.plain  raft.sealing      the copy is whole, and is put in its place
 *     raft  raft.plain              done, but for what was in clear
 */
import { dirname } from "node:path";
import { systemFileSystem } from "../../../security/mod.ts";
import { commitAll, type Mutation, openKvDisk } from "./disk.ts";
import { lockFolder } from "./folder_lock.ts";
import { unseal } from "./record.ts";
import { isEmpty, isSealed, SealedDisk } from "./sealed_disk.ts";

/** The folders beside a state's own in which a crash may leave some of it. */
export function sealingFolders(folder: string): { plain: string; sealing: string } {
  return { plain: `${folder}.plain`, sealing: `${folder}.sealing` };
}

/** Records of one commit; those are of 60 KiB at most. */
const COPIED_AT_ONCE = 250;

/**
 * Leaves the state in `folder` sealed with the last of `keys`, and nothing of it in clear; one that is sealed, or not
 * there, is left as it is. The file in it is `file`. A crash at any moment leaves what another call brings to an end.
 * Throws `data_loss` if it cannot be read, `failed_precondition` if another manager uses it.
 */
export async function sealFolder(folder: string, file: string, keys: readonly Uint8Array[]): Promise<void> {
  const { plain, sealing } = sealingFolders(folder), parent = dirname(folder);
  if (!await exists(folder) && await exists(plain)) {
    await Deno.rename(sealing, folder);
    await systemFileSystem.syncFolder(parent);
  }
  for (const left of [sealing, plain]) if (await exists(left)) await Deno.remove(left, { recursive: true });
  if (!await exists(`${folder}/${file}`)) return;
  const unlock = await lockFolder(folder);
  try {
    await Deno.mkdir(sealing, { mode: 0o700 });
    const copied = await copySealed(`${folder}/${file}`, `${sealing}/${file}`, keys);
    if (!copied) return await Deno.remove(sealing, { recursive: true });
    await systemFileSystem.syncFolder(sealing);
    await Deno.rename(folder, plain);
    await Deno.rename(sealing, folder);
    await systemFileSystem.syncFolder(parent);
    await Deno.remove(plain, { recursive: true });
  } finally {
    unlock();
  }
}

/** False if there is nothing to copy. */
async function copySealed(from: string, to: string, keys: readonly Uint8Array[]): Promise<boolean> {
  const plain = await openKvDisk(from);
  try {
    if (await isSealed(plain) || await isEmpty(plain)) return false;
    const copy = await openKvDisk(to);
    try {
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
    } finally {
      await copy.close();
    }
    return true;
  } finally {
    await plain.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
