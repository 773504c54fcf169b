import assert from "node:assert/strict";
import { LocalState, type TaskRecord } from "../../agent/local_state.ts";
import { StateFolder } from "../../agent/state_folder.ts";
import { testTask } from "../manager/dispatcher/harness.ts";

async function withFolder(run: (path: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "covey-state-test-" });
  await run(`${dir}/tasks.kv`);
  await Deno.remove(dir, { recursive: true });
}

function record(id: string, change: Partial<TaskRecord> = {}): TaskRecord {
  const task = testTask(id, "n1");
  return { task, status: task.Status, assigned: true, ...change };
}

Deno.test("LocalState: what was flushed is there after reopening", () =>
  withFolder(async (path) => {
    const state = await LocalState.open(path);
    const kept = record("a", { handle: { version: 1, data: { pid: 7 } } });
    state.put(kept);
    state.put(record("gone"));
    state.setNode({ index: 42 });
    state.delete("gone");
    await state.close();
    const again = await LocalState.open(path);
    assert.deepEqual([...again.tasks()], [kept]);
    assert.deepEqual(again.node, { index: 42, bootID: "" });
    await again.close();
  }));

Deno.test("LocalState: a task larger than a KV value is kept whole, and shrinks without leftovers", () =>
  withFolder(async (path) => {
    const state = await LocalState.open(path);
    const large = record("a");
    const Spec = { ...large.task.Spec, ProcessSpec: { Command: "x", Env: [`BIG=${"ä".repeat(150_000)}`] } };
    state.put({ ...large, task: { ...large.task, Spec } });
    await state.close();
    const again = await LocalState.open(path);
    assert.deepEqual([...again.tasks()][0]?.task.Spec, Spec);
    again.put(large);
    await again.close();
    const last = await LocalState.open(path);
    assert.deepEqual([...last.tasks()], [large]);
    await last.close();
  }));

Deno.test("LocalState: putting what is kept already writes nothing", async () => {
  const state = await LocalState.open(":memory:");
  const kept = record("a");
  state.put(kept);
  await state.flush();
  state.put(kept);
  assert.equal(state.writing, false);
  await state.close();
});

Deno.test("LocalState: a thousand tasks fit although a transaction has limits", () =>
  withFolder(async (path) => {
    const state = await LocalState.open(path);
    for (let i = 0; i < 1000; i++) state.put(record(`t${i}`));
    await state.close();
    const again = await LocalState.open(path);
    assert.equal([...again.tasks()].length, 1000);
    await again.close();
  }));

Deno.test("StateFolder: a second agent on the folder is refused, a damaged state is put aside", () =>
  withFolder(async (path) => {
    const dir = path.replace("/tasks.kv", "");
    await Deno.writeTextFile(
      path,
      "this is no database, but it is long enough to be taken for a broken one ".repeat(80),
    );
    const folder = await StateFolder.open(dir);
    const state = await folder.openState();
    assert.deepEqual([...state.tasks()], []);
    await state.close();
    await folder.saveManagers(["10.0.0.1:2377", "10.0.0.2:2377"]);
    assert.deepEqual(await folder.managers(), ["10.0.0.1:2377", "10.0.0.2:2377"]);
    await assert.rejects(StateFolder.open(dir), { code: "failed_precondition" });
    folder.close();
    (await StateFolder.open(dir)).close();
  }));

Deno.test("StateFolder: each damaged state gets a name of its own", () =>
  withFolder(async (path) => {
    const dir = path.replace("/tasks.kv", ""), folder = await StateFolder.open(dir);
    const damaged = (n: number) => `this is no database ${n} `.repeat(400);
    for (const n of [1, 2]) {
      await Deno.writeTextFile(path, damaged(n));
      await (await folder.openState()).close();
    }
    for (const n of [1, 2]) {
      assert.equal(await Deno.readTextFile(`${path}.damaged-${n}`), damaged(n));
    }
    folder.close();
  }));

Deno.test("StateFolder: is closed to others, and so is the tasks' database, if both were there before", () =>
  withFolder(async (path) => {
    const dir = path.replace("/tasks.kv", ""), before = await LocalState.open(path);
    before.put(record("t"));
    await before.close();
    await Deno.chmod(dir, 0o755);
    await Deno.chmod(path, 0o644);
    const folder = await StateFolder.open(dir), state = await folder.openState();
    state.put(record("u"));
    await state.flush();
    const modes = ["", ...[...Deno.readDirSync(dir)].map(({ name }) => `/${name}`)].map((name) => {
      const { mode } = Deno.statSync(dir + name);
      return `${name} ${(mode! & 0o777).toString(8)}`;
    });
    assert.deepEqual(modes.filter((text) => !/^ 711$| [67]00$/.test(text)), []);
    assert.ok(modes.length >= 3, modes.join());
    await state.close();
    folder.close();
  }));
