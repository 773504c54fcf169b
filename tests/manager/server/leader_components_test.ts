import assert from "node:assert/strict";
import { leaderComponents } from "../../../manager/server/leader_components.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { seededRandom, testDispatcher } from "../dispatcher/harness.ts";

Deno.test("Leader components: the dispatcher is the first to start, and all others are made anew for each term", async () => {
  const clock = new FakeClock(), random = seededRandom();
  const { store } = testStore({ clock });
  const { dispatcher } = await testDispatcher(store, clock);
  const members = { removeNode: () => Promise.resolve() };
  const makers = leaderComponents({ store, clock, random, dispatcher, members });
  const [first, second] = [makers, makers].map((all) => all.map((make) => make()));
  assert.equal(first![0], dispatcher);
  assert.deepEqual(first!.map(({ name }) => name), second!.map(({ name }) => name));
  assert.equal(new Set([...first!, ...second!]).size, 2 * makers.length - 1);
  await dispatcher.stop();
});
