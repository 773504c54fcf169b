import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { Service } from "../../../api/service.ts";
import type { DirtyRecord } from "../../../manager/consensus/state_machine.ts";
import { createStore } from "../../../manager/store/memory_store.ts";
import type { WriteTransaction } from "../../../manager/store/store.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { memoryConsensus, restoreFrom, testStore } from "../../support/store.ts";
import { service, task } from "./objects.ts";

/** What a member that starts from `index` and `records` holds. */
function member(index: number, records: Iterable<DirtyRecord>) {
  const store = createStore(memoryConsensus(), new FakeClock());
  restoreFrom(store, index, records);
  return store;
}

function everything(store: ReturnType<typeof member>) {
  return { services: store.all("services"), tasks: store.all("tasks") };
}

Deno.test("Store: restoring its records gives an identical store", async () => {
  const { store } = testStore();
  for (let i = 0; i < 20; i++) {
    await store.update((tx) => {
      tx.create("services", service(`s${19 - i}`));
      tx.create("tasks", task(`t${19 - i}`, `s${i % 3}`));
    });
  }
  await store.update((tx) => tx.delete("services", "s7"));
  const copy = member(store.index, store.records());
  deepStrictEqual(everything(copy), everything(store));
  deepStrictEqual([...copy.records()], [...store.records()]);
  deepStrictEqual(copy.find("tasks", "serviceID", "s1"), store.find("tasks", "serviceID", "s1"));
});

Deno.test("Store: restoring over a state tells watchers the difference", async () => {
  const { store } = testStore();
  const copy = member(0, []);
  await store.batch(["gone", "same", "new version"], (tx, id) => tx.create("services", service(id)));
  restoreFrom(copy, store.index, store.records());
  await store.update((tx) => {
    tx.delete("services", "gone");
    tx.update("services", tx.get("services", "new version")!);
    tx.create("services", service("added"));
  });
  const seen: unknown[] = [];
  copy.subscribe(({ changes }) => seen.push(...changes.map((c) => [c.action, c.object.ID])));
  restoreFrom(copy, store.index, store.records());
  deepStrictEqual(seen, [["remove", "gone"], ["update", "new version"], ["create", "added"]]);
});

Deno.test("Store: a version is not reused after a delete and a restart", async () => {
  const { store } = testStore();
  await store.update((tx) => tx.create("services", service("a")));
  await Promise.all(
    [1, 2, 3].map(() => store.update((tx) => tx.update("services", tx.get("services", "a")!))),
  );
  const last = store.get("services", "a")!;
  await store.update((tx) => tx.delete("services", "a"));
  const consensus = memoryConsensus();
  const copy = createStore(consensus, new FakeClock());
  await consensus.start(copy);
  restoreFrom(copy, store.index, store.records());
  await copy.update((tx) => tx.create("services", service("a")));
  strictEqual(copy.get("services", "a")!.Version.Index > last.Version.Index, true);
});

/** The store's rules, as short as they can be said. */
class Twin {
  services: Service[] = [];

  step(step: Step): boolean {
    const next = this.services.map((s) => s);
    for (const [kind, id, name] of step.writes) {
      const at = next.findIndex((s) => s.ID === id);
      const clash = next.some((s) => s.ID !== id && s.Spec.Name.toLowerCase() === name.toLowerCase());
      if ((kind === "create") !== (at < 0) || (kind !== "delete" && clash)) return false;
      if (kind === "create") next.push(service(id, name));
      else if (kind === "update") next[at] = service(id, name);
      else next.splice(at, 1);
    }
    if (!step.throws) this.services = next;
    return !step.throws;
  }
}

interface Step {
  writes: ["create" | "update" | "delete", string, string][];
  throws: boolean;
  /** Waits for all before it goes on. */
  pause: boolean;
}

const steps = fc.array(
  fc.record({
    writes: fc.array(
      fc.tuple(
        fc.constantFrom("create" as const, "create" as const, "update" as const, "delete" as const),
        fc.constantFrom("1", "2", "3", "4"),
        fc.constantFrom("web", "WEB", "db", "x", "y"),
      ),
      { maxLength: 4 },
    ),
    throws: fc.boolean(),
    pause: fc.boolean(),
  }),
  { maxLength: 30 },
);

function run(tx: WriteTransaction, step: Step): void {
  for (const [kind, id, name] of step.writes) {
    if (kind === "create") tx.create("services", service(id, name));
    else if (kind === "delete") tx.delete("services", id);
    else {
      const stored = tx.get("services", id);
      tx.update("services", { ...(stored ?? service(id)), Spec: { ...service(id, name).Spec } });
    }
  }
  if (step.throws) throw new Error("on purpose");
}

Deno.test("Store: proposer, follower and restart from a fuzzy checkpoint behave as the naive twin", async () => {
  await fc.assert(fc.asyncProperty(steps, fc.nat(30), async (list, cut) => {
    const { store, consensus } = testStore();
    const twin = new Twin();
    const running: Promise<boolean>[] = [];
    const expected: boolean[] = [];
    for (const step of list) {
      expected.push(twin.step(step));
      running.push(store.update((tx) => run(tx, step)).then(() => true, () => false));
      if (step.pause) await Promise.all(running);
    }
    deepStrictEqual(await Promise.all(running), expected);
    deepStrictEqual(names(store.all("services")), names(twin.services));

    const follower = member(0, []);
    for (const { index, entry } of consensus.entries) follower.apply(index, entry);
    deepStrictEqual(everything(follower), everything(store));

    // A checkpoint can hold the newest records under an older index; the log from there leads to the same state.
    const late = member(Math.min(cut, store.index), store.records());
    for (const { index, entry } of consensus.entries.slice(cut)) late.apply(index, entry);
    deepStrictEqual(everything(late), everything(store));
  }));
});

Deno.test("Store: dirty records, written as they come, make the same store", async () => {
  await fc.assert(fc.asyncProperty(steps, async (list) => {
    const { store } = testStore();
    const written: DirtyRecord[] = [];
    for (const step of list) {
      await store.update((tx) => run(tx, step)).catch(() => {});
      if (step.pause) written.push(...store.takeDirty());
    }
    written.push(...store.takeDirty());
    const copy = member(store.index, written);
    deepStrictEqual(everything(copy), everything(store));
    deepStrictEqual(
      ["web", "db", "x", "y"].map((name) => copy.find("services", "name", name)),
      ["web", "db", "x", "y"].map((name) => store.find("services", "name", name)),
    );
  }));
});

function names(services: Service[]): string[] {
  return services.map((s) => `${s.ID}=${s.Spec.Name}`);
}
