/** Rounds of the store: clients that were answered together share the next commit again. */
import { strictEqual } from "node:assert/strict";
import { sleep } from "../../../api/clock.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { service } from "./objects.ts";

/** A store whose commits take `commitMs`. */
function slowStore(commitMs: number) {
  const clock = new FakeClock();
  const { store, consensus } = testStore({ clock });
  consensus.beforeCommit = () => sleep(clock, commitMs);
  const create = (id: string) => store.update((tx) => tx.create("services", service(id, id)));
  const round = async (...ids: string[]) => {
    const all = Promise.all(ids.map(create));
    await clock.advance(commitMs);
    await all;
  };
  return { clock, entries: consensus.entries, create, round };
}

Deno.test("Store: after a round of several the next one waits until as many have come", async () => {
  const { clock, entries, create, round } = slowStore(3);
  await round("a", "b", "c");
  const two = [create("d"), create("e")];
  await clock.advance(2);
  await round("f");
  await Promise.all(two);
  strictEqual(entries.length, 2);
});

Deno.test("Store: the next round waits no longer than the last one took, and than five milliseconds", async () => {
  for (const [commitMs, waitMs] of [[3, 3], [50, 5]] as const) {
    const { clock, entries, create, round } = slowStore(commitMs);
    await round("a", "b", "c");
    const left = create("d");
    await clock.advance(waitMs + commitMs - 1);
    strictEqual(entries.length, 1);
    await clock.advance(1);
    await left;
    strictEqual(entries.length, 2);
    // Alone, it has nobody to wait for.
    await round("e");
    strictEqual(entries.length, 3);
  }
});

Deno.test("Store: whoever comes after the wait starts a round at once", async () => {
  const { clock, entries, round } = slowStore(3);
  await round("a", "b", "c");
  await clock.advance(3);
  await round("d");
  strictEqual(entries.length, 2);
});
