import assert from "node:assert/strict";
import { CommitLoop, type LoopHandlers } from "../../../manager/leader/commit_loop.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { service } from "../store/objects.ts";

function setUp(change: Partial<LoopHandlers>) {
  const clock = new FakeClock(), since = clock.monotonic();
  const { store } = testStore({ clock });
  const log: string[] = [];
  const note = (what: string) => void log.push(`${what} ${clock.monotonic() - since}`);
  const loop = new CommitLoop("tester", { store, clock }, {
    resync: () => note("resync"),
    onCommit: () => true,
    run: () => Promise.resolve(note("run")),
    ...change,
  });
  return { clock, store, loop, log };
}

Deno.test("CommitLoop: a component that cannot read the store begins anew, again and again, ever more slowly", async () => {
  let left = 3;
  const at: number[] = [];
  const { clock, loop, log } = setUp({
    resync: () => {
      at.push(clock.monotonic());
      if (left-- > 0) throw new Error("odd state");
    },
  });
  loop.start();
  await clock.advance(60_000);
  assert.deepEqual(at.map((ms) => ms - at[0]!), [0, 1000, 3000, 7000]);
  assert.deepEqual(log, ["run 7000"]);
  await loop.stop();
});

Deno.test("CommitLoop: a commit that it cannot take makes it begin anew; the store goes on", async () => {
  let odd = true;
  const { clock, store, loop, log } = setUp({
    onCommit: () => {
      if (!odd) return true;
      odd = false;
      throw new Error("odd commit");
    },
  });
  loop.start();
  await clock.advance(0);
  await store.update((tx) => tx.create("services", service("a")));
  assert.equal(store.count("services"), 1);
  await clock.advance(1000);
  assert.deepEqual(log, ["resync 0", "run 0", "resync 1000", "run 1000"]);
  await loop.stop();
});

Deno.test("CommitLoop: a step that fails leaves undone what it had taken, and the next one finds it", async () => {
  let left = 1;
  const taken: string[][] = [];
  const { clock, loop } = setUp({
    run: () => {
      taken.push(list.take());
      if (left-- > 0) return Promise.reject(new Error("odd step"));
      return Promise.resolve(list.finish());
    },
  });
  const list = loop.list("thing");
  list.add("a");
  loop.start();
  await clock.advance(1000);
  assert.deepEqual(taken, [["a"], ["a"]]);
  await loop.stop();
  assert.equal(list.size, 0);
});
