import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { hasCode } from "../../../../api/errors.ts";
import { service, task } from "../../store/objects.ts";
import { everything, open, openUntil, withFolder } from "./one_member.ts";

const MEGABYTE = "x".repeat(1_000_000);

Deno.test("RaftMember alone: a restart finds all writes, the same member and a new term", async () => {
  await withFolder(async (folder) => {
    const first = await open(folder);
    await first.store.batch(["c", "a", "b"], (tx, id) => tx.create("services", service(id)));
    await first.store.update((tx) => tx.create("services", service("big", "big", { MEGABYTE })));
    await first.store.update((tx) => tx.delete("services", "a"));
    const before = everything(first.store);
    const status = first.consensus.status();
    await first.consensus.stop();

    const second = await open(folder, { address: "10.0.0.1:2377" });
    deepStrictEqual(everything(second.store), before);
    strictEqual(second.store.index, first.store.index);
    const after = second.consensus.status();
    strictEqual(after.members[0]?.memberID, status.members[0]?.memberID);
    strictEqual(after.members[0]?.address, "10.0.0.1:2377");
    ok(after.term > status.term);
    await second.consensus.stop();
  });
});

Deno.test("RaftMember alone: tells when it begins and ends to lead, and refuses afterwards", async () => {
  await withFolder(async (folder) => {
    const { store, consensus } = await open(folder);
    const seen: boolean[] = [];
    consensus.subscribe(({ isLeader }) => seen.push(isLeader));
    await consensus.readBarrier();
    const last = store.update((tx) => tx.create("services", service("a")));
    await Promise.resolve();
    await Promise.resolve();
    await consensus.stop();
    await last;
    deepStrictEqual(seen, [false]);
    await rejects(store.update((tx) => tx.delete("services", "a")), (e) => hasCode(e, "unavailable"));
    await rejects(consensus.propose(new Uint8Array()), (e) => hasCode(e, "unavailable"));
    await rejects(consensus.readBarrier(), (e) => hasCode(e, "unavailable"));
  });
});

Deno.test("RaftMember alone: a second manager on the folder is refused until the first has stopped", async () => {
  await withFolder(async (folder) => {
    const { consensus } = await open(folder);
    await rejects(open(folder), (e) => hasCode(e, "failed_precondition") && e.message.includes(folder));
    await consensus.stop();
    await (await open(folder)).consensus.stop();
  });
});

Deno.test("RaftMember alone: its files are for their owner only", async () => {
  await withFolder(async (folder) => {
    const { consensus } = await open(folder);
    for await (const { name } of Deno.readDir(folder)) {
      strictEqual((await Deno.stat(`${folder}/${name}`)).mode! & 0o777, 0o600, name);
    }
    await consensus.stop();
  });
});

Deno.test("RaftMember alone: refuses the state of another node", async () => {
  await withFolder(async (folder) => {
    await (await open(folder)).consensus.stop();
    await rejects(open(folder, { nodeID: "other" }), (e) => hasCode(e, "failed_precondition"));
    await (await open(folder)).consensus.stop();
  });
});

Deno.test("RaftMember alone: an entry above the limit is refused", async () => {
  await withFolder(async (folder) => {
    const { consensus } = await open(folder);
    await rejects(consensus.propose(new Uint8Array(2 ** 21)), (e) => hasCode(e, "resource_exhausted"));
    await consensus.stop();
  });
});

Deno.test("RaftMember alone: a flipped byte in any record is reported with the record's name", async () => {
  await withFolder(async (folder) => {
    const { store, consensus } = await open(folder, { checkpointEntries: 3 });
    for (const id of ["a", "b", "c", "d"]) {
      await store.update((tx) =>
        tx.create("services", service(id, id, { data: MEGABYTE.slice(0, 100_000) }))
      );
    }
    await consensus.stop();
    await (await open(folder)).consensus.stop();
    const kv = await Deno.openKv(`${folder}/consensus.kv`);
    const records = await Array.fromAsync(kv.list<Uint8Array>({ prefix: [] }));
    const kinds = new Set(records.map(({ key }) => String(key[0])));
    deepStrictEqual([...kinds].sort(), ["checkpoint", "journal", "log", "member", "state"]);
    for (const { key, value } of records) {
      for (const at of [0, 5, value.length - 1]) {
        const damaged = value.slice();
        damaged[at]! ^= 4;
        await kv.set(key, damaged);
        await rejects(open(folder), (e) => hasCode(e, "data_loss") && e.message.includes(key.join("/")));
      }
      await kv.set(key, value);
    }
    kv.close();
    await (await open(folder)).consensus.stop();
  });
});

Deno.test("RaftMember alone: a missing entry or part is reported, never skipped", async () => {
  await withFolder(async (folder) => {
    const { store, consensus } = await open(folder);
    for (const id of ["a", "b", "c"]) {
      await store.update((tx) =>
        tx.create("services", service(id, id, { data: MEGABYTE.slice(0, 100_000) }))
      );
    }
    await consensus.stop();
    const kv = await Deno.openKv(`${folder}/consensus.kv`);
    for (const key of [["log", 3, 0], ["log", 3, 1], ["log", 4, 0], ["log", 4, 1], ["log", 5, 1]]) {
      const { value } = await kv.get(key);
      await kv.delete(key);
      await rejects(open(folder), (e) => hasCode(e, "data_loss") && e.message.includes(`log/${key[1]}/`));
      await kv.set(key, value);
    }
    kv.close();
    await (await open(folder)).consensus.stop();
  });
});

Deno.test("RaftMember alone: a torn entry that nobody was told of is cut off", async () => {
  await withFolder(async (folder) => {
    await (await open(folder)).consensus.stop();
    const { store, consensus } = await openUntil(folder, 2);
    await store.update((tx) => tx.create("services", service("a")));
    const torn = store.update((tx) => tx.create("services", service("torn", "torn", { MEGABYTE })));
    await rejects(torn, (e) => hasCode(e, "data_loss"));
    await consensus.stop();
    const kv = await Deno.openKv(`${folder}/consensus.kv`);
    strictEqual((await kv.list({ prefix: ["log", 2] }).next()).done, false);
    kv.close();

    for (const id of ["b", "c"]) {
      const again = await open(folder);
      await again.store.update((tx) => tx.create("services", service(id)));
      await again.consensus.stop();
    }
    const last = await open(folder);
    deepStrictEqual(last.store.all("services").map((s) => s.ID), ["a", "b", "c"]);
    await last.consensus.stop();
  });
});

Deno.test("RaftMember alone: stops at the first failed write and says so", async () => {
  await withFolder(async (folder) => {
    await (await open(folder)).consensus.stop();
    const { store, consensus } = await openUntil(folder, 1);
    const seen: boolean[] = [];
    consensus.subscribe(({ isLeader }) => seen.push(isLeader));
    await store.update((tx) => tx.create("services", service("a")));
    const writes = ["b", "c"].map((id) => consensus.propose(new TextEncoder().encode(id)));
    for (const write of writes) await rejects(write, (e) => hasCode(e, "data_loss"));
    ok(hasCode(await consensus.failed, "data_loss"));
    deepStrictEqual(seen, [false]);
    await rejects(consensus.propose(new Uint8Array()), (e) => hasCode(e, "data_loss"));
    await consensus.stop();
  });
});

Deno.test("RaftMember alone: neither a watcher of the store nor a listener of the status that throws stops it", async () => {
  await withFolder(async (folder) => {
    const { store, consensus } = await open(folder);
    const fail = () => {
      throw new Error("bug");
    };
    store.subscribe(fail);
    consensus.subscribe(fail);
    const seen: boolean[] = [];
    consensus.subscribe(({ isLeader }) => seen.push(isLeader));
    await store.update((tx) => tx.create("services", service("a")));
    await store.update((tx) => tx.create("services", service("b")));
    strictEqual(store.count("services"), 2);
    await consensus.stop();
    deepStrictEqual(seen, [false]);
  });
});

Deno.test("RaftMember alone: a crash after any commit of a checkpoint loses nothing", async () => {
  let crashes = 0;
  for (let commits = 0;; commits++) {
    let finished = false;
    await withFolder(async (folder) => {
      const prepared = await open(folder);
      await prepared.store.update((tx) => tx.create("services", service("old", "old", { MEGABYTE })));
      await prepared.consensus.stop();
      const { store, consensus } = await openUntil(folder, commits, { checkpointEntries: 6 });
      const acknowledged = await workload(store);
      finished = acknowledged === STEPS;
      await consensus.stop();
      const wanted = everything(store);

      const again = await open(folder);
      // The write that met the crash may be there, whole, if it was a checkpoint's that failed.
      const found = again.store.count("tasks");
      ok(found === acknowledged || found === acknowledged + 1);
      if (found === acknowledged) deepStrictEqual(everything(again.store), wanted);
      await again.store.update((tx) => tx.create("services", service("after")));
      await again.consensus.stop();
      const last = await open(folder);
      ok(last.store.get("services", "after"));
      deepStrictEqual(everything(last.store), everything(again.store));
      await last.consensus.stop();
    });
    if (finished) break;
    crashes++;
  }
  ok(crashes > STEPS);
});

const STEPS = 20;

/** Writes until a write fails; returns how many steps were acknowledged. */
async function workload(store: Awaited<ReturnType<typeof open>>["store"]): Promise<number> {
  for (let step = 0; step < STEPS; step++) {
    const done = await store.update((tx) => {
      tx.create("tasks", task(`t${step}`, "s"));
      const data = MEGABYTE.slice(0, [10, 70_000, 900_000][step % 3]);
      const old = tx.get("services", "old");
      if (step % 7 === 6 && old) tx.delete("services", "old");
      else if (old) tx.update("services", { ...old, Spec: { ...old.Spec, Labels: { data } } });
      else tx.create("services", service("old", "old", { data }));
    }).then(() => true, () => false);
    if (!done) return step;
  }
  return STEPS;
}
