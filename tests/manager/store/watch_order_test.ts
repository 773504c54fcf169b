/** Scenario 71: who watches a member sees one history, whether it comes as entries or, after a gap, as a snapshot. */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { Service } from "../../../api/service.ts";
import { createStore } from "../../../manager/store/memory_store.ts";
import type { Commit, Store } from "../../../manager/store/store.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { memoryConsensus, restoreFrom, testStore } from "../../support/store.ts";
import { service } from "./objects.ts";

const IDS = ["a", "b", "c", "d"];

/** What a watcher knows from events alone. Each event must fit what came before it. */
class Watcher {
  readonly known = new Map<string, Service>();
  #index = 0;

  constructor(store: Store) {
    store.subscribe((commit) => this.#see(commit));
  }

  #see({ index, changes }: Commit): void {
    ok(index > this.#index, `commit ${index} comes after ${this.#index}`);
    this.#index = index;
    for (const { action, object } of changes) {
      const before = this.known.get(object.ID);
      strictEqual(before === undefined, action === "create", `${action} of ${object.ID} fits`);
      if (action === "remove") {
        this.known.delete(object.ID);
        continue;
      }
      ok(object.Version.Index > (before?.Version.Index ?? 0), `${object.ID} gets newer`);
      this.known.set(object.ID, object as Service);
    }
  }
}

/** Writes what makes sense for the object: creates, updates, removes, or replaces it by a new one of the same ID. */
async function write(store: Store, id: string, verb: number): Promise<void> {
  await store.update((tx) => {
    const old = tx.get("services", id);
    if (!old) tx.create("services", service(id));
    else if (verb === 0) tx.delete("services", id);
    else if (verb === 1) tx.update("services", old);
    else {
      tx.delete("services", id);
      tx.create("services", service(id));
    }
  });
}

Deno.test("Store: a watcher sees every state in order, without gap or repetition, across snapshots (scenario 71)", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ id: fc.constantFrom(...IDS), verb: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.constant("catch up" as const) },
    { weight: 1, arbitrary: fc.constant("snapshot" as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { store, consensus } = testStore();
      const follower = createStore(memoryConsensus(), new FakeClock());
      const watcher = new Watcher(follower);
      for (const each of [...steps, "catch up" as const]) {
        if (each === "snapshot") {
          // Also one of what the follower has already.
          restoreFrom(follower, store.index, store.records());
        } else if (each === "catch up") {
          for (const { index, entry } of consensus.entries) {
            if (index > follower.index) follower.apply(index, entry);
          }
        } else await write(store, each.id, each.verb);
        deepStrictEqual(
          [...watcher.known.values()].map(({ ID, Version }) => [ID, Version]).sort(),
          follower.all("services").map(({ ID, Version }) => [ID, Version]).sort(),
        );
      }
      deepStrictEqual(follower.all("services"), store.all("services"));
    }),
    { numRuns: 200 },
  );
});
