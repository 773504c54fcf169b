import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { WorkList } from "../../../manager/leader/work_list.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { service } from "../store/objects.ts";

const REFUSED = new CoveyError("unavailable", "Cannot propose: refused");

function setUp() {
  const clock = new FakeClock(), since = clock.monotonic();
  const wakes: number[] = [], shown: string[] = [];
  const owner = { name: "tester", clock, wake: () => void wakes.push(clock.monotonic() - since) };
  const list = new WorkList("thing", owner, (id, reason) => shown.push(`${id}: ${reason}`));
  return { clock, wakes, shown, list };
}

Deno.test("WorkList: what is taken is dropped only when it is finished", () => {
  const { list } = setUp();
  list.add("a");
  list.add("b");
  assert.deepEqual(list.take(), ["a", "b"]);
  assert.equal(list.size, 0);
  list.restore();
  assert.deepEqual(list.take(), ["a", "b"]);
  list.finish();
  list.restore();
  assert.equal(list.size, 0);
});

Deno.test("WorkList: a refused write is due again after growing pauses, and nobody is shown a reason", async () => {
  const { clock, wakes, shown, list } = setUp();
  for (const pause of [250, 500, 1000, 2000, 4000, 4000]) {
    list.add("a");
    list.take();
    list.failed("a", REFUSED);
    assert.equal(list.size, 0);
    await clock.advance(pause - 1);
    assert.equal(list.size, 0);
    await clock.advance(1);
    assert.equal(list.size, 1);
  }
  assert.equal(wakes.length, 6);
  assert.deepEqual(shown, []);
  list.take();
  list.finish();
  list.failed("a", REFUSED);
  await clock.advance(250);
  assert.equal(list.size, 1);
  list.clear();
});

Deno.test("WorkList: an object that cannot be handled is set aside by name, until it changes or a while is over", async () => {
  const { clock, shown, list } = setUp();
  const odd = () =>
    list.attempt("odd", () => {
      throw new TypeError("no such field");
    });
  odd();
  assert.deepEqual(shown, ["odd: tester: no such field"]);
  list.add("odd");
  assert.deepEqual(list.take(), ["odd"]);
  odd();
  await clock.advance(1999);
  assert.equal(list.size, 0);
  await clock.advance(1);
  assert.deepEqual(list.take(), ["odd"]);
  assert.equal(shown.length, 1, "a reason is shown once");
  list.clear();
});

Deno.test("WorkList: an object whose reason is another one at each look is not shown again before its pause is over", async () => {
  const { clock, shown, list } = setUp();
  let nth = 0;
  const odd = () =>
    list.attempt("odd", () => {
      throw new Error(`reason ${++nth}`);
    });
  for (let i = 0; i < 5; i++) odd();
  assert.deepEqual(shown, ["odd: tester: reason 1"]);
  await clock.advance(20_000);
  odd();
  assert.deepEqual(shown, ["odd: tester: reason 1", "odd: tester: reason 6"]);
  list.clear();
});

Deno.test("WorkList: one object that throws keeps no other from its turn", async () => {
  const { list } = setUp();
  for (const id of ["a", "b", "c"]) list.add(id);
  const done: string[] = [];
  await list.each((id) => {
    if (id === "b") return Promise.reject(new Error("b"));
    done.push(id);
    return Promise.resolve();
  });
  assert.deepEqual(done, ["a", "c"]);
  list.clear();
});

Deno.test("WorkList: of a batch only what is committed is dropped", async () => {
  const { clock, list } = setUp();
  const { store, consensus } = testStore({ clock });
  const ids = Array.from({ length: 250 }, (_, i) => `s${i}`);
  for (const id of ids) list.add(id);
  let commits = 0;
  consensus.beforeCommit = () => {
    if (++commits === 1) throw REFUSED;
  };
  const committed: string[] = [];
  const run = () =>
    list.commit(store, (tx, id) => tx.create("services", service(id)), (_, id) => committed.push(id));
  await run();
  assert.equal(committed.length, 50);
  await clock.advance(250);
  assert.equal(list.size, 200);
  await run();
  assert.deepEqual(new Set(committed), new Set(ids));
  assert.equal(committed.length, 250);
  assert.equal(list.size, 0);
});
