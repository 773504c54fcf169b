import assert from "node:assert/strict";
import { systemRandom } from "../../api/random.ts";
import { createUnlockKey, ManagerKeys, newKey, parseUnlockKey } from "../../security/mod.ts";
import { MemoryFileSystem } from "./memory_file_system.ts";

const PATH = "/state/certificates/manager.keys";
const NO_LOCK = { key: undefined, version: 0 };

async function reopened(fs: MemoryFileSystem): Promise<ManagerKeys> {
  const keys = new ManagerKeys(fs, "/state");
  await keys.load();
  return keys;
}

Deno.test("Unlock key: has SwarmKit's form, and whatever has not is refused in Docker's words", () => {
  const key = createUnlockKey(systemRandom);
  assert.match(key, /^SWMKEY-1-[A-Za-z0-9+/]{43}$/);
  assert.equal(parseUnlockKey(key).length, 32);
  assert.notEqual(createUnlockKey(systemRandom), key);
  for (const bad of ["", "x", key.slice(9), key.slice(0, -1), `${key}A`, `${key}=`, key.replace("1", "2")]) {
    assert.throws(
      () => parseUnlockKey(bad),
      { code: "invalid_argument", message: "invalid key string" },
      bad,
    );
  }
});

Deno.test("Manager keys: without a lock they are there after a restart, for their owner's eyes only", async () => {
  const fs = new MemoryFileSystem(), keys = await reopened(fs);
  assert.throws(() => keys.data, { code: "failed_precondition", message: /manager\.keys: there are none/ });
  await keys.create();
  await keys.create();
  assert.equal(fs.modes.get(PATH), 0o600);
  const again = await reopened(fs);
  assert.deepEqual([again.isLocked, again.data, again.identity], [false, keys.data, undefined]);
  const other = new ManagerKeys(fs, "/state");
  await other.create();
  assert.deepEqual(other.data, keys.data, "what is there is not overwritten");
  await keys.remove();
  assert.equal(fs.files.size, 0);
});

Deno.test("Manager keys: a lock brings new keys, and none of them is in the file to be read", async () => {
  const fs = new MemoryFileSystem(), keys = await reopened(fs), key = newKey();
  await keys.create();
  const [before] = keys.data;
  await keys.relock({ key, version: 5 });
  assert.deepEqual(keys.data[0], before);
  assert.equal(keys.data.length, 2);
  const text = fs.text(PATH);
  for (const each of [...keys.data, keys.identity!, key]) {
    assert.ok(!text.includes(each.toBase64().slice(0, 20)));
  }
  const locked = await reopened(fs);
  assert.equal(locked.isLocked, true);
  assert.throws(() => locked.data, { message: /they are locked/ });
  await locked.create();
  assert.equal(fs.text(PATH), text);
  assert.equal(locked.unlock(newKey()), false);
  assert.equal(locked.isLocked, true);
  assert.equal(locked.unlock(key), true);
  assert.deepEqual([locked.data, locked.identity, locked.lock], [keys.data, keys.identity, {
    key,
    version: 5,
  }]);
  await locked.dropOld();
  const rotated = newKey();
  await locked.relock({ key: rotated, version: 6 });
  const last = await reopened(fs);
  assert.equal(last.unlock(key), false);
  assert.equal(last.unlock(rotated), true);
  assert.deepEqual(last.data, keys.data.slice(1), "another unlock key needs no other key of the state");
  await last.relock({ ...NO_LOCK, version: 7 });
  const open = await reopened(fs);
  assert.deepEqual([open.isLocked, open.data, open.identity], [false, last.data, undefined]);
  assert.equal(open.lock.version, 7);
});

Deno.test("Manager keys: any flipped bit of the file is damage, and no wrong key", async () => {
  for (const lock of [NO_LOCK, { key: newKey(), version: 3 }]) {
    const fs = new MemoryFileSystem(), keys = await reopened(fs);
    await keys.create();
    await keys.relock(lock);
    const whole = fs.files.get(PATH)!, text = new TextDecoder().decode(whole);
    for (let at = 0; at < whole.length; at++) {
      for (const bit of [1, 64]) {
        fs.files.set(PATH, whole.with(at, whole[at]! ^ bit));
        const result = await reopened(fs).then(
          (read) => (lock.key && read.isLocked ? read.unlock(lock.key) : true) && read.data,
          ({ code, message }) => `${code}: ${message}`,
        );
        // White space may change, and the names of what is not looked at cannot.
        if (typeof result !== "string") assert.deepEqual(result, keys.data, `byte ${at} of ${text}`);
        else assert.match(result, /^data_loss: Cannot read \/state\/certificates\/manager\.keys: /);
      }
    }
  }
});

Deno.test("Manager keys: power may go at any write of a new lock, the keys open with one of both", async () => {
  const first = newKey(), second = newKey(), locks = [first, second, undefined, first];
  let cuts = 0;
  for (;; cuts++) {
    const fs = new MemoryFileSystem(), keys = await reopened(fs);
    await keys.create();
    const [data] = keys.data;
    fs.failAt = fs.changes + cuts + 1;
    let done = 0;
    try {
      for (const [at, key] of locks.entries()) {
        await keys.relock({ key, version: at + 1 });
        done++;
      }
    } catch { /* the cut */ }
    const found = await reopened(fs);
    const between = [done === 0 ? undefined : locks[done - 1], locks[done] ?? locks.at(-1)];
    const opened = found.isLocked
      ? between.findIndex((key) => key !== undefined && found.unlock(key))
      : between.indexOf(undefined);
    assert.notEqual(opened, -1, `cut at write ${cuts + 1}`);
    assert.ok(
      found.data.some((key) => key.toHex() === data!.toHex()),
      "what the state is sealed with is there",
    );
    if (done === locks.length) break;
  }
  assert.ok(cuts > locks.length);
});
