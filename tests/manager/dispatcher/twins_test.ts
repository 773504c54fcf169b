/** Two devices with one key, as after an SD card was copied. */
import assert from "node:assert/strict";
import type { SessionMessage } from "../../../api/dispatcher.ts";
import { CoveyError } from "../../../api/errors.ts";
import { DESCRIPTION, DirectConnection, Reader, testDispatcher, testNode } from "./harness.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";

async function fixture() {
  const clock = new FakeClock();
  const { store } = testStore({ clock });
  await store.update((tx) => tx.create("nodes", testNode("n1")));
  const { dispatcher } = await testDispatcher(store, clock);
  /** The agent of that name opens a session; undefined: one that does not name itself. */
  const open = async (agent: string | undefined) => {
    await clock.advance(10_000);
    const session = new Reader(
      new DirectConnection(dispatcher.methods(), "n1").serverStream<SessionMessage>("dispatcher.session", {
        ...(agent && { Agent: agent }),
        Description: DESCRIPTION,
      }),
    );
    await settle();
    return session;
  };
  return { clock, dispatcher, open, status: () => store.get("nodes", "n1")!.Status };
}

const reasonOf = ({ error }: Reader<SessionMessage>) => error && CoveyError.from(error).reason;

Deno.test("Dispatcher: of two devices with one key the first is kept, the other kept out, and it is shown", async () => {
  const { clock, dispatcher, open, status } = await fixture();
  await open("original");
  await open("copy");
  assert.equal(status().Message, undefined, "it may be the node's agent that was started anew");
  const original = await open("original");
  assert.match(
    status().Message!,
    /another device, at 192.168.0.7, has a copy of this node's key and is kept out/,
  );
  assert.equal(reasonOf(await open("copy")), "twin");
  assert.equal(original.error, undefined);
  const anew = await open("original, started anew");
  assert.equal(reasonOf(await open("copy")), "twin");
  assert.deepEqual([anew.error, status().State], [undefined, "ready"]);
  assert.match(status().Message!, /kept out/);
  await clock.advance(10 * 60_000);
  await open("original, started anew");
  await settle();
  assert.equal(status().Message, undefined, "nothing was heard of the copy for ten minutes");
  dispatcher.stop();
});

Deno.test("Dispatcher: agents started anew, and those that name no name, are nobody's copy", async () => {
  const { dispatcher, open, status } = await fixture();
  for (const agent of ["a", "b", undefined, "c", undefined]) {
    assert.equal((await open(agent)).error, undefined);
  }
  assert.equal(status().Message, undefined);
  dispatcher.stop();
});

Deno.test("Dispatcher: a device whose place the other had while it was off gets it back", async () => {
  const { clock, dispatcher, open, status } = await fixture();
  for (const agent of ["original", "copy", "original"]) await open(agent);
  assert.equal(reasonOf(await open("copy")), "twin");
  await clock.advance(60_000);
  assert.equal(status().State, "down");
  assert.equal((await open("copy")).error, undefined, "somebody has to be there");
  assert.equal((await open("original")).error, undefined);
  assert.equal(reasonOf(await open("copy")), "twin");
  dispatcher.stop();
});
