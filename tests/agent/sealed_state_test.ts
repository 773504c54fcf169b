/** What a device keeps of its tasks, sealed for its key. */
import assert from "node:assert/strict";
import { LocalState, type TaskRecord } from "../../agent/local_state.ts";
import { StateFolder } from "../../agent/state_folder.ts";
import { setLogSink } from "../../api/log.ts";
import {
  createPrivateKeyPEM,
  IdentityStore,
  type NodeIdentity,
  systemFileSystem,
} from "../../security/mod.ts";
import { testTask } from "../manager/dispatcher/harness.ts";
import { createTestCluster } from "../security/fixtures.ts";
import { inFolder } from "../support/programs.ts";
import { filesWith } from "../support/search_bytes.ts";

const WORD = "MEASURING-STATION-9";

function record(id: string, size = 0): TaskRecord {
  const task = testTask(id, "n1");
  const Env = [`NAME=${WORD}`, `MORE=${"x".repeat(size)}`];
  const Spec = { ...task.Spec, ProcessSpec: { Command: "x", Env } };
  return { task: { ...task, Spec }, status: { ...task.Status, Message: WORD }, assigned: true };
}

const ids = (state: LocalState) => [...state.tasks()].map(({ task }) => task.ID).toSorted();

/** A state folder of a node that has an identity. */
async function withNode(
  test: (
    given: { folder: StateFolder; path: string; identity: IdentityStore; node: NodeIdentity },
  ) => Promise<void>,
): Promise<void> {
  await inFolder(async (path) => {
    const node = await (await createTestCluster()).node("n1"),
      identity = new IdentityStore(systemFileSystem, path);
    await identity.save(node);
    const folder = await StateFolder.open(path), said: string[] = [];
    setLogSink(({ message }) => said.push(String(message)));
    try {
      await test({ folder, path, identity, node });
    } finally {
      setLogSink(() => {});
      folder.close();
    }
  });
}

/** Has tasks kept as versions without a seal did. */
async function keepInClear(path: string, ...records: TaskRecord[]): Promise<void> {
  const before = await LocalState.open(`${path}/tasks.kv`);
  for (const each of [...records, record("gone")]) before.put(each);
  await before.flush();
  before.delete("gone");
  await before.close();
}

Deno.test("Sealed state: nothing of a task is on the disk in clear, and a renewed key reads it", () =>
  inFolder(async (path) => {
    const [first, second, third] = await Promise.all([1, 2, 3].map(createPrivateKeyPEM));
    const open = (...keys: string[]) => LocalState.open(`${path}/tasks.kv`, () => Promise.resolve(keys));
    const state = await open();
    state.seal([first!]);
    state.put(record("a", 150_000));
    state.put(record("b"));
    state.delete("b");
    await state.flush();
    assert.deepEqual(await filesWith(path, WORD), []);
    state.rekey([second!, first!]);
    await state.close();
    const again = await open(second!);
    assert.deepEqual([...again.tasks()], [record("a", 150_000)]);
    assert.equal(again.isInClear, false);
    await again.close();
    assert.deepEqual(await filesWith(path, WORD), []);
    await assert.rejects(open(third!), { code: "data_loss", message: /cannot be unsealed with its key/ });
  }));

Deno.test("Sealed state: what an earlier version kept in clear is sealed, and nothing of it is left", () =>
  withNode(async ({ folder, path, identity }) => {
    await keepInClear(path, record("a", 150_000), record("b"));
    assert.ok((await filesWith(path, WORD)).length > 0);
    const state = await folder.openState({ identity });
    assert.deepEqual(ids(state), ["a", "b"]);
    await state.close();
    assert.deepEqual(await filesWith(path, WORD), []);
    const again = await folder.openState({ identity });
    assert.deepEqual([...again.tasks()].toSorted((x, y) => x.task.ID < y.task.ID ? -1 : 1), [
      record("a", 150_000),
      record("b"),
    ]);
    assert.equal(again.writing, false, "the next start writes nothing");
    await again.close();
  }));

Deno.test("Sealed state: a version on trial leaves it as the one before can read it", () =>
  withNode(async ({ folder, path, identity }) => {
    await keepInClear(path, record("a"));
    assert.equal(await folder.isOnTrial("2"), false, "nobody has been here before");
    await folder.saveReached("1");
    assert.equal(await folder.isOnTrial("2"), true);
    const state = await folder.openState({ identity, mayNotSeal: true });
    state.put(record("b"));
    await state.close();
    const before = await LocalState.open(`${path}/tasks.kv`);
    assert.deepEqual(ids(before), ["a", "b"]);
    await before.close();
  }));

Deno.test("Sealed state: where power goes while it is sealed, each task is there once", () =>
  inFolder(async (path) => {
    const key = await createPrivateKeyPEM(), file = `${path}/tasks.kv`;
    const keys = () => Promise.resolve([key]);
    // 400 tasks take more than one transaction; with some of those in clear put back, the last one was not made.
    const all = Array.from({ length: 400 }, (_, n) => record(`t${n}`));
    await keepInClear(path, ...all);
    const kv = await Deno.openKv(file), clear: [Deno.KvKey, unknown][] = [];
    for await (const entry of kv.list({ prefix: ["task"] })) clear.push([entry.key, entry.value]);
    kv.close();
    const state = await LocalState.open(file, keys);
    state.seal([key]);
    state.put({ ...record("t399"), assigned: false });
    await state.close();
    const later = await Deno.openKv(file);
    for (const [name, value] of clear.slice(-100)) await later.set(name, value);
    later.close();
    const again = await LocalState.open(file, keys);
    assert.equal(ids(again).length, 400);
    assert.equal([...again.tasks()].find(({ task }) => task.ID === "t399")!.assigned, false);
    assert.equal(again.isInClear, true);
    again.seal([key]);
    again.clearedBytes();
    await again.close();
    const last = await LocalState.open(file, keys);
    assert.deepEqual([last.isInClear, ids(last).length], [false, 400]);
    await last.close();
  }));

Deno.test("Sealed state: is put aside where the node has another key, waited for where its key is damaged, and not by who leaves", () =>
  withNode(async ({ folder, path, identity, node }) => {
    const state = await folder.openState({ identity });
    state.seal(await identity.keys());
    state.put(record("a"));
    await state.close();
    for (const name of ["swarm-node.key", "swarm-node.copy.key"]) {
      await Deno.writeTextFile(`${path}/certificates/${name}`, "garbage");
    }
    const abort = new AbortController(), waiting = folder.openState({ identity, signal: abort.signal });
    const said = Promise.withResolvers<string>();
    setLogSink((entry) => said.resolve(JSON.stringify(entry)));
    assert.match(await said.promise, /Cannot load node identity from .*bring its files back/);
    abort.abort();
    await assert.rejects(waiting);
    await identity.save(node);
    const mended = await folder.openState({ identity });
    assert.deepEqual(ids(mended), ["a"]);
    await mended.close();
    await identity.remove();
    const other = await folder.openState({ identity });
    assert.deepEqual(ids(other), []);
    await other.close();
    assert.ok([...Deno.readDirSync(path)].some(({ name }) => name === "tasks.kv.damaged-1"));
    await Deno.rename(`${path}/tasks.kv.damaged-1`, `${path}/tasks.kv`);
    await Deno.mkdir(`${path}/certificates`, { recursive: true });
    await Deno.writeTextFile(`${path}/certificates/swarm-node.crt`, "garbage");
    const leaving = await folder.openState({ identity, leave: true });
    assert.deepEqual(ids(leaving), []);
    await leaving.close();
  }));

Deno.test("Sealed state: after leaving, the next node on the device seals with its own key", () =>
  inFolder(async (path) => {
    const [first, second] = await Promise.all([1, 2].map(createPrivateKeyPEM));
    const open = (key: string) => LocalState.open(`${path}/tasks.kv`, () => Promise.resolve([key]));
    const state = await open(first!);
    state.seal([first!]);
    state.put(record("a"));
    state.delete("a");
    state.forgetSeal();
    await state.close();
    const next = await open(second!);
    next.seal([second!]);
    next.put(record("b"));
    await next.close();
    const again = await open(second!);
    assert.deepEqual(ids(again), ["b"]);
    await again.close();
  }));
