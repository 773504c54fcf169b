import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { CoveyError, hasCode } from "../../../api/errors.ts";
import type { Service } from "../../../api/service.ts";
import { type Commit, isCommitFailure } from "../../../manager/store/store.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { node, service, task } from "./objects.ts";

const code = (...codes: Parameters<typeof hasCode>[1][]) => (error: unknown) => hasCode(error, ...codes);

function commitsOf(store: ReturnType<typeof testStore>["store"]): Commit[] {
  const commits: Commit[] = [];
  store.subscribe((commit) => commits.push(commit));
  return commits;
}

Deno.test("Store: update with a stale version conflicts and changes nothing", async () => {
  const { store } = testStore();
  await store.update((tx) => tx.create("services", service("a")));
  const read = store.get("services", "a")!;
  await store.update((tx) =>
    tx.update("services", { ...read, Spec: { ...read.Spec, Labels: { by: "first" } } })
  );
  const now = store.get("services", "a")!;
  await rejects(
    store.update((tx) =>
      tx.update("services", { ...read, Spec: { ...read.Spec, Labels: { by: "second" } } })
    ),
    code("aborted"),
  );
  strictEqual(store.get("services", "a"), now);
});

Deno.test("Store: a version is never the same for two writes, even in one commit", async () => {
  const { store, consensus } = testStore();
  const versions = await Promise.all([
    store.update((tx) => (tx.create("services", service("a")), tx.get("services", "a")!)),
    store.update((tx) => (tx.update("services", tx.get("services", "a")!), tx.get("services", "a")!)),
  ]);
  strictEqual(consensus.entries.length, 1);
  ok(versions[0].Version.Index < versions[1].Version.Index);
  await rejects(store.update((tx) => tx.update("services", versions[0])), code("aborted"));
});

Deno.test("Store: a write that changes nothing still gets a new version", async () => {
  const { store, consensus } = testStore();
  await store.update((tx) => tx.create("services", service("a")));
  const before = store.get("services", "a")!;
  await store.update((tx) => tx.update("services", before));
  ok(store.get("services", "a")!.Version.Index > before.Version.Index);
  strictEqual(consensus.entries.length, 2);
});

Deno.test("Store: since when an object has its spec is kept where its other parts are written", async () => {
  const { store } = testStore();
  await store.update((tx) => tx.create("services", service("a")));
  const change = async (changed: (old: Service) => Partial<Service>) => {
    await store.update((tx) => {
      const old = tx.get("services", "a")!;
      tx.update("services", { ...old, ...changed(old) });
    });
    return store.get("services", "a")!;
  };
  const first = store.get("services", "a")!;
  strictEqual(first.SpecSince, undefined, "its version says it");
  deepStrictEqual((await change(() => ({ Endpoint: { Spec: {} } }))).SpecSince, first.Version);
  deepStrictEqual((await change(() => ({ Endpoint: { Spec: {} } }))).SpecSince, first.Version);
  const second = await change(({ Spec }) => ({ Spec: { ...Spec, Labels: { a: "1" } } }));
  strictEqual(second.SpecSince, undefined);
  deepStrictEqual((await change(() => ({ Endpoint: { Spec: {} } }))).SpecSince, second.Version);
});

Deno.test("Store: duplicate ID or name in another case is refused", async () => {
  const { store } = testStore();
  await store.update((tx) => tx.create("services", service("a", "Web")));
  await rejects(store.update((tx) => tx.create("services", service("a", "other"))), code("already_exists"));
  await rejects(store.update((tx) => tx.create("services", service("b", "wEB"))), code("already_exists"));
  await store.update((tx) => tx.create("services", service("b", "db")));
  const b = store.get("services", "b")!;
  const renamed = { ...b, Spec: { ...b.Spec, Name: "web" } };
  await rejects(store.update((tx) => tx.update("services", renamed)), code("already_exists"));
  strictEqual(store.find("services", "name", "WEB")[0]?.ID, "a");
  strictEqual(store.count("services"), 2);
});

Deno.test("Store: an object may change the case of its own name, and a freed name can be taken", async () => {
  const { store } = testStore();
  await store.update((tx) => tx.create("services", service("a", "web")));
  const a = store.get("services", "a")!;
  await store.update((tx) => {
    tx.update("services", { ...a, Spec: { ...a.Spec, Name: "WEB" } });
    tx.delete("services", "a");
    tx.create("services", service("b", "web"));
  });
  deepStrictEqual(store.find("services", "name", "web").map((s) => s.ID), ["b"]);
});

Deno.test("Store: nodes and tasks have no unique names", async () => {
  const { store } = testStore();
  await store.update((tx) => {
    tx.create("nodes", node("n1", "pi"));
    tx.create("nodes", node("n2", "pi"));
    tx.create("tasks", task("t1", "s"));
    tx.create("tasks", task("t2", "s"));
  });
  deepStrictEqual(store.all("nodes").map((n) => n.ID), ["n1", "n2"]);
  deepStrictEqual(store.find("tasks", "slot", "s/1").map((t) => t.ID), ["t1", "t2"]);
});

Deno.test("Store: a failing callback changes nothing and tells nobody", async () => {
  const { store, consensus } = testStore();
  await store.update((tx) => tx.create("services", service("kept")));
  const commits = commitsOf(store);
  await rejects(
    store.update((tx) => {
      tx.create("services", service("a"));
      tx.update("services", { ...tx.get("services", "kept")!, SpecVersion: { Index: 7 } });
      tx.delete("services", "kept");
      tx.create("services", service("kept", "again"));
      throw new Error("thought better of it");
    }),
    /thought better of it/,
  );
  deepStrictEqual(store.all("services").map((s) => [s.ID, s.Spec.Name]), [["kept", "kept"]]);
  strictEqual(store.find("services", "name", "again").length, 0);
  deepStrictEqual([commits.length, consensus.entries.length], [0, 1]);
});

Deno.test("Store: a batch of more than 200 changes makes several commits, each item whole", async () => {
  const { store } = testStore();
  const commits = commitsOf(store);
  const errors: [number, string][] = [];
  await store.batch(Array.from({ length: 500 }, (_, i) => i), (tx, i) => {
    tx.create("services", service(`a${i}`));
    if (i === 100) throw new Error("item 100");
    tx.create("services", service(`b${i}`));
  }, (item, outcome) => {
    if (!outcome.committed) errors.push([item, outcome.error.message]);
  });
  deepStrictEqual(errors, [[100, "item 100"]]);
  strictEqual(store.count("services"), 998);
  ok(commits.length >= 5);
  for (const { changes } of commits) ok(changes.length <= 200 && changes.length % 2 === 0);
});

Deno.test("Store: a batch rejects when its commit fails", async () => {
  const { store, consensus } = testStore();
  consensus.beforeCommit = () => {
    throw new Error("disk");
  };
  await rejects(store.batch([1], (tx) => tx.create("services", service("a"))), /disk/);
  strictEqual(store.count("services"), 0);
});

Deno.test("Store: a batch without a judge of its items rejects with the first error, after each had its turn", async () => {
  const { store } = testStore();
  const tried: number[] = [];
  const batch = store.batch([1, 2, 3], (tx, i) => {
    tried.push(i);
    if (i === 2) throw new Error("item 2");
    tx.create("services", service(`s${i}`));
  });
  await rejects(batch, /item 2/);
  deepStrictEqual(tried, [1, 2, 3]);
  strictEqual(store.count("services"), 2);
});

Deno.test("Store: of a batch whose second commit is refused, each item says what became of it", async () => {
  const { store, consensus } = testStore();
  let commits = 0;
  consensus.beforeCommit = () => {
    if (++commits === 2) throw new CoveyError("unavailable", "Cannot propose: refused");
  };
  const outcomes = new Map<number, boolean>();
  let values = 0;
  const items = Array.from({ length: 500 }, (_, i) => i);
  await store.batch(items, (tx, i) => tx.create("services", service(`s${i}`)) ?? i, (item, outcome) => {
    outcomes.set(item, outcome.committed);
    if (outcome.committed) values += Number(outcome.value === item);
    else ok(isCommitFailure(outcome.error));
  });
  deepStrictEqual(
    items.filter((i) => outcomes.get(i)),
    store.all("services").map(({ ID }) => Number(ID.slice(1))),
  );
  strictEqual(outcomes.size, 500);
  strictEqual(values, 300);
  strictEqual(store.count("services"), 300);
});

Deno.test("Store: a watcher that throws keeps neither the commit nor other watchers from going on", async () => {
  const { store } = testStore();
  const seen: number[] = [];
  store.subscribe(() => {
    throw new Error("odd");
  }, "an odd watcher");
  const commits = commitsOf(store);
  store.subscribe(({ index }) => seen.push(index));
  await store.update((tx) => tx.create("services", service("a")));
  await store.update((tx) => tx.create("services", service("b")));
  deepStrictEqual([commits.length, seen.length, store.count("services")], [2, 2, 2]);
});

Deno.test("Store: updates that wait for a commit share the next one and see each other", async () => {
  const { store, consensus } = testStore();
  let release = () => {};
  consensus.beforeCommit = () => new Promise<void>((resolve) => release = resolve);
  const first = store.update((tx) => tx.create("services", service("first")));
  await Promise.resolve();
  const others = ["a", "b", "c"].map((id) =>
    store.update((tx) => {
      if (id === "b") throw new Error("b");
      tx.create("services", service(id));
      return tx.count("services");
    })
  );
  strictEqual(store.count("services"), 0);
  const outcomes = Promise.allSettled(others);
  release();
  await first;
  strictEqual(store.count("services"), 1);
  consensus.beforeCommit = undefined;
  deepStrictEqual((await outcomes).map((o) => o.status === "fulfilled" ? o.value : o.reason.message), [
    2,
    "b",
    3,
  ]);
  strictEqual(consensus.entries.length, 2);
});

Deno.test("Store: repeated writes of one object are one change of the commit", async () => {
  const { store } = testStore();
  const commits = commitsOf(store);
  await store.update((tx) => {
    tx.create("services", service("a"));
    tx.update("services", { ...tx.get("services", "a")!, SpecVersion: { Index: 7 } });
    tx.create("services", service("gone"));
    tx.delete("services", "gone");
  });
  deepStrictEqual(commits[0]!.changes.map((c) => [c.action, c.object.ID]), [["create", "a"]]);
  strictEqual(store.get("services", "a")!.SpecVersion.Index, 7);
  const old = store.get("services", "a")!;
  await store.update((tx) => {
    tx.update("services", old);
    tx.delete("services", "a");
  });
  deepStrictEqual(commits[1]!.changes, [{ action: "remove", table: "services", object: old, old }]);
});

Deno.test("Store: transactions that do not fit into one entry follow in the next", async () => {
  const { store, consensus } = testStore();
  const big = (id: string, bytes: number) => service(id, id, { data: "x".repeat(bytes) });
  const sizes = [1_000_000, 900_000, 200_000];
  await Promise.all(sizes.map((size, i) => store.update((tx) => tx.create("services", big(`s${i}`, size)))));
  strictEqual(consensus.entries.length, 3);
  strictEqual(store.count("services"), 3);
  await rejects(
    store.update((tx) => tx.create("services", big("huge", 2_000_000))),
    code("resource_exhausted"),
  );
  strictEqual(store.count("services"), 3);
});

Deno.test("Store: a failed commit changes nothing and the store goes on", async () => {
  const { store, consensus } = testStore();
  await store.update((tx) => tx.create("services", service("a")));
  consensus.beforeCommit = () => {
    throw new Error("lost");
  };
  await rejects(store.update((tx) => tx.delete("services", "a")), /lost/);
  consensus.beforeCommit = undefined;
  strictEqual(store.count("services"), 1);
  await store.update((tx) => tx.delete("services", "a"));
  strictEqual(store.count("services"), 0);
});

Deno.test("Store: a refusal by a write that was not committed is not told as one", async () => {
  const { store, consensus } = testStore();
  await store.update((tx) => tx.create("services", service("a")));
  consensus.beforeCommit = () => {
    throw new CoveyError("unknown", "lost");
  };
  const outcomes = await Promise.allSettled([
    store.update((tx) => tx.delete("services", "a")),
    store.update((tx) => tx.delete("services", "a")),
  ]);
  // The second found no service, which nobody else will ever see: it did nothing, and may try again.
  deepStrictEqual(outcomes.map((o) => o.status === "rejected" && o.reason.code), ["unknown", "unavailable"]);
});

Deno.test("Store: a leader that was deposed unawares does not refuse by its old state", async () => {
  const { store, consensus } = testStore();
  consensus.readBarrier = () => Promise.reject(new CoveyError("unavailable", "no quorum"));
  await rejects(store.update((tx) => tx.delete("services", "a")), code("unavailable"));
  await rejects(store.update((tx) => tx.count("services")), code("unavailable"));
});

Deno.test("Store: a write on a follower fails without running the callback", async () => {
  const { store, consensus } = testStore();
  consensus.setLeader(false);
  let ran = false;
  await rejects(store.update(() => ran = true), code("unavailable"));
  strictEqual(ran, false);
});

Deno.test("Store: a callback that writes nothing costs no commit", async () => {
  const { store, consensus } = testStore();
  strictEqual(await store.update((tx) => tx.count("tasks")), 0);
  strictEqual(consensus.entries.length, 0);
});

Deno.test("Store: an asynchronous callback and a kept transaction are refused", async () => {
  const { store } = testStore();
  await rejects(store.update(async (tx) => await tx.create("services", service("a"))), /asynchronous/);
  const kept = await store.update((tx) => tx);
  await rejects(store.update(() => kept.create("services", service("b"))), /has ended/);
  strictEqual(store.count("services"), 0);
});

Deno.test("Store: watchers see later commits in order, with old objects and the state after each", async () => {
  const { store } = testStore();
  await store.update((tx) => tx.create("services", service("before")));
  const seen: unknown[] = [];
  const stop = store.subscribe(({ index, changes }) => {
    strictEqual(store.index, index);
    for (const { action, object, old } of changes) {
      seen.push([index, action, object.ID, old?.Version.Index, store.count("services")]);
    }
  });
  await store.update((tx) => tx.create("services", service("a")));
  await store.update((tx) => tx.update("services", tx.get("services", "a")!));
  await store.update((tx) => tx.delete("services", "a"));
  stop();
  await store.update((tx) => tx.delete("services", "before"));
  deepStrictEqual(seen, [[2, "create", "a", undefined, 2], [3, "update", "a", 2, 2], [
    4,
    "remove",
    "a",
    3,
    1,
  ]]);
});

Deno.test("Store: stamps times, and updates keep the time of creation", async () => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const { store } = testStore({ clock });
  await store.update((tx) => tx.create("services", service("a")));
  await clock.advance(1000);
  const a = store.get("services", "a")!;
  await store.update((tx) => tx.update("services", { ...a, CreatedAt: "" }));
  const { CreatedAt, UpdatedAt } = store.get("services", "a")!;
  deepStrictEqual([CreatedAt, UpdatedAt], ["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z"]);
});

Deno.test("Store: finds by index in the order of creation after objects moved between keys", async () => {
  const { store } = testStore();
  await store.batch(["a", "b", "c"], (tx, id) => tx.create("tasks", task(id, "s")));
  for (const id of ["c", "a", "b"]) {
    await store.update((tx) => tx.update("tasks", { ...tx.get("tasks", id)!, NodeID: "n" }));
  }
  deepStrictEqual(store.find("tasks", "nodeID", "n").map((t) => t.ID), ["a", "b", "c"]);
  deepStrictEqual(store.find("tasks", "nodeID", ""), []);
});
