/** The lock on a manager, with its keys, its certificate's key and its state on disks whose power is cut at every write. */
import assert from "node:assert/strict";
import { systemRandom } from "../../../api/random.ts";
import { SealedDisk } from "../../../manager/consensus/disk/sealed_disk.ts";
import { newCluster } from "../../../manager/cluster/new_cluster.ts";
import { Vault } from "../../../manager/process/vault.ts";
import type { Store } from "../../../manager/store/store.ts";
import {
  createUnlockKey,
  IdentityStore,
  ManagerKeys,
  type NodeIdentity,
  parseUnlockKey,
} from "../../../security/mod.ts";
import { createTestCluster } from "../../security/fixtures.ts";
import { MemoryFileSystem } from "../../security/memory_file_system.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { MemoryDisk } from "../consensus/member/memory_disk.ts";

const RECORDS = 120;
const NAME = new TextEncoder().encode("value");

async function setup() {
  const clock = new FakeClock(), { store } = testStore({ clock });
  const cluster = await newCluster("c", {}, { clock, random: systemRandom });
  await store.update((tx) => tx.create("clusters", cluster));
  const identity = await (await createTestCluster()).node("m", "swarm-manager");
  return { store, identity, fs: new MemoryFileSystem(), memory: new MemoryDisk() };
}

/** Has the cluster lock its managers with `key`, or not at all. */
function setKey(store: Store, key: string | undefined): Promise<unknown> {
  return store.update((tx) => {
    const { UnlockKey: _, ...cluster } = tx.all("clusters")[0]!;
    tx.update("clusters", { ...cluster, ...(key !== undefined && { UnlockKey: key }) });
  });
}

interface Parts {
  store: Store;
  fs: MemoryFileSystem;
  memory: MemoryDisk;
}

/** A start of the manager; `key` unlocks it. Undefined if it is locked, and that is not the key. */
async function start({ store, fs, memory }: Parts, key?: string) {
  const identities = new IdentityStore(fs, "/state");
  const vault = new Vault(new ManagerKeys(fs, "/state"), identities);
  if (await vault.load() && !(key !== undefined && await vault.unlock(key))) return undefined;
  const disk = await SealedDisk.open(memory.open(), await vault.dataKeys());
  const told: string[] = [];
  let sealing: Promise<void> = Promise.resolve();
  const useDataKeys = (keys: readonly Uint8Array[]) => sealing = sealing.then(() => disk.useKeys(keys));
  const failed = Promise.withResolvers<Error>();
  const hooks = {
    resealed: () => void told.push("resealed"),
    locked: () => void told.push("locked"),
    failed: failed.resolve,
  };
  const follow = () => vault.follow({ store, consensus: { useDataKeys } }, hooks);
  /** Resolves when nothing is under way. */
  const idle = async () => {
    for (let turn = 0; turn < 3; turn++) {
      await new Promise((resolve) => setTimeout(resolve));
      await sealing.catch(() => {});
    }
    await vault.stop();
  };
  return { vault, identities, disk, told, follow, idle, failed: failed.promise };
}

async function fill(disk: SealedDisk, identities: IdentityStore, identity: NodeIdentity): Promise<void> {
  for (let nth = 0; nth < RECORDS; nth++) await disk.commit([{ key: ["log", nth, 0], value: NAME }]);
  await identities.save(identity);
  await identities.pendingKey();
}

async function check(parts: Parts, identity: NodeIdentity, keys: (string | undefined)[], what: string) {
  for (const key of keys) {
    const manager = await start(parts, key);
    if (manager === undefined) continue;
    assert.deepEqual(await manager.identities.load(), identity, what);
    const records = await Array.fromAsync(manager.disk.list(["log"]));
    assert.equal(records.length, RECORDS, what);
    return manager;
  }
  return assert.fail(`${what}: it does not start with any of its keys`);
}

Deno.test("Vault: adopts the cluster's lock, another key, and none again; a version before counts no more", async () => {
  const { identity, ...parts } = await setup(), { store, fs } = parts;
  const [first, second] = [createUnlockKey(systemRandom), createUnlockKey(systemRandom)];
  const manager = (await start(parts))!;
  await fill(manager.disk, manager.identities, identity);
  await manager.follow();
  assert.deepEqual(manager.told, []);
  await setKey(store, first);
  await manager.idle();
  assert.deepEqual(manager.told, ["resealed", "locked"]);
  assert.equal(await start(parts), undefined);
  assert.equal(await start(parts, second), undefined);
  const locked = await check(parts, identity, [first], "locked");
  assert.equal((await locked.vault.dataKeys()).length, 1, "the key that was in clear is gone");
  await locked.follow();
  await setKey(store, second);
  await locked.idle();
  assert.deepEqual(locked.told, [], "the private key stays as it is sealed");
  const rotated = await check(parts, identity, [second], "rotated");
  const keys = new ManagerKeys(fs, "/state");
  await keys.load();
  keys.unlock(parseUnlockKey(second));
  // What a start reads of an old checkpoint: the key before, and a version before.
  const old = { ...store.all("clusters")[0]!, UnlockKey: first, Version: { Index: keys.lock.version - 1 } };
  const replaying = { ...parts, store: { ...store, find: () => [old], subscribe: () => () => {} } as never };
  const replayed = await check(replaying, identity, [second], "replaying");
  await replayed.follow();
  await replayed.idle();
  assert.equal(await start(parts, first), undefined);
  await rotated.follow();
  await setKey(store, undefined);
  await rotated.idle();
  assert.deepEqual(rotated.told, ["resealed"]);
  await check(parts, identity, [undefined], "not locked any more");
  for (const [path, bytes] of fs.files) {
    if (path.endsWith(".key")) assert.match(new TextDecoder().decode(bytes), /BEGIN PRIVATE KEY/);
  }
});

Deno.test("Vault: power may go at any write of a lock, a rotation and the end of a lock", async () => {
  const [first, second] = [createUnlockKey(systemRandom), createUnlockKey(systemRandom)];
  const changes: [string | undefined, string | undefined][] = [[undefined, first], [first, second], [
    second,
    undefined,
  ]];
  for (const [before, after] of changes) {
    const name = `${before ? "locked" : "open"} to ${after ? "locked" : "open"}`;
    let cuts = 0;
    for (const cut of ["files", "state"] as const) {
      for (let at = 1, isCut = true; isCut; at++) {
        const { identity, ...parts } = await setup(), { store, fs, memory } = parts;
        const seed = (await start(parts))!;
        await fill(seed.disk, seed.identities, identity);
        await setKey(store, before);
        await seed.follow();
        await seed.idle();
        const manager = await check(parts, identity, [before], name);
        await manager.follow();
        if (cut === "files") fs.failAt = fs.changes + at;
        else memory.left = at - 1;
        await setKey(store, after);
        await manager.idle();
        isCut = cut === "files" ? fs.changes >= fs.failAt : memory.left < 0;
        if (isCut && cut === "files") assert.match((await manager.failed).message, /power/);
        fs.failAt = memory.left = Infinity;
        const what = `${name}, ${cut} cut at write ${at}`;
        const again = await check(parts, identity, [before, after], what);
        await again.follow();
        await again.idle();
        const last = await check(parts, identity, [after], `${what}, and started once more`);
        assert.equal((await last.vault.dataKeys()).length, 1, what);
        if (isCut) cuts++;
      }
    }
    assert.ok(cuts > 1, name);
  }
});

Deno.test("Vault: a worker's keys are in clear, whatever it was before", async () => {
  const { identity, ...parts } = await setup(), key = createUnlockKey(systemRandom);
  const manager = (await start(parts))!;
  await fill(manager.disk, manager.identities, identity);
  await setKey(parts.store, key);
  await manager.follow();
  await manager.idle();
  const back = (await start(parts, key))!;
  await back.vault.takeOff();
  const worker = (await start(parts))!;
  assert.deepEqual(await worker.identities.load(), identity);
  await worker.follow();
  await worker.idle();
  assert.equal(await start(parts), undefined, "a manager again: locked again");
});
