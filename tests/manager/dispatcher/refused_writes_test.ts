/** What the dispatcher knows of a node is written in the end, however often the write is refused. */
import assert from "node:assert/strict";
import type { AssignmentsMessage, SessionMessage } from "../../../api/dispatcher.ts";
import { CoveyError } from "../../../api/errors.ts";
import { DAY_MS } from "../../../api/duration.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { DESCRIPTION, DirectConnection, testDispatcher, testNode, testTask } from "./harness.ts";

const REFUSED = new CoveyError("unavailable", "Cannot propose: refused proposal");
/** Longer than three heartbeat periods. */
const SILENCE_MS = 17_000;

async function fixture() {
  const clock = new FakeClock();
  const { store, consensus } = testStore({ clock, freeze: false });
  await store.update((tx) => tx.create("nodes", testNode("n1")));
  const { dispatcher } = await testDispatcher(store, clock);
  const connection = new DirectConnection(dispatcher.methods(), "n1");
  const session = () =>
    connection.serverStream<SessionMessage>("dispatcher.session", { Description: DESCRIPTION });
  const state = () => store.get("nodes", "n1")!.Status.State;
  /** Refuses the next `count` proposals. */
  const refuse = (count: number) => {
    consensus.beforeCommit = () => {
      if (count-- > 0) throw REFUSED;
    };
  };
  return { clock, store, dispatcher, connection, session, state, refuse };
}

Deno.test("Dispatcher: a silent node is down although the write is refused at first", async () => {
  const { clock, dispatcher, session, state, refuse } = await fixture();
  await session().next();
  assert.equal(state(), "ready");
  refuse(100);
  await clock.advance(SILENCE_MS);
  assert.equal(state(), "ready");
  refuse(0);
  await clock.advance(5_000);
  assert.equal(state(), "down");
  await dispatcher.stop();
});

Deno.test("Dispatcher: a node that opens a session while its end waits to be written is not down", async () => {
  const { clock, dispatcher, session, state, refuse } = await fixture();
  await session().next();
  refuse(100);
  await clock.advance(SILENCE_MS);
  refuse(0);
  await session().next();
  await clock.advance(5_000);
  assert.equal(state(), "ready");
  await dispatcher.stop();
});

Deno.test("Dispatcher: a session that cannot be written down is refused, and its node is down if it never comes again", async () => {
  const { clock, dispatcher, session, state, refuse } = await fixture();
  refuse(1);
  await assert.rejects(session().next(), { code: "unavailable" });
  await clock.advance(SILENCE_MS);
  assert.equal(state(), "down");
  await dispatcher.stop();
});

Deno.test("Dispatcher: a new leader's nodes are unknown although the write is refused at first", async () => {
  const { clock, store, dispatcher, session, state, refuse } = await fixture();
  await session().next();
  await dispatcher.stop();
  refuse(2);
  const next = await testDispatcher(store, clock);
  assert.equal(state(), "ready");
  await clock.advance(1_000);
  assert.equal(state(), "unknown");
  await next.dispatcher.stop();
});

Deno.test("Dispatcher: tasks of a node that is long gone are orphaned although the write is refused at first", async () => {
  const { clock, store, dispatcher, session, state, refuse } = await fixture();
  await session().next();
  await store.update((tx) => tx.create("tasks", testTask("t", "n1")));
  await clock.advance(SILENCE_MS);
  assert.equal(state(), "down");
  refuse(2);
  await clock.advance(DAY_MS);
  await clock.advance(1_000);
  assert.equal(store.get("tasks", "t")!.Status.State, "orphaned");
  await dispatcher.stop();
});

Deno.test("Dispatcher: a status is acknowledged only once it is committed", async () => {
  const { store, dispatcher, connection, session, refuse } = await fixture();
  const { value } = await session().next();
  await store.update((tx) => tx.create("tasks", testTask("t", "n1")));
  const report = () =>
    connection.call("dispatcher.updateTaskStatus", {
      SessionID: (value as SessionMessage).SessionID,
      Updates: [{
        TaskID: "t",
        Status: { Timestamp: "2026-01-01T00:00:00Z", State: "running", Message: "" },
      }],
    });
  refuse(1);
  await assert.rejects(report(), { code: "unavailable" });
  await report();
  assert.equal(store.get("tasks", "t")!.Status.State, "running");
  await dispatcher.stop();
});

Deno.test("Dispatcher: a change that cannot be told ends the stream of its node, and the next one begins with everything", async () => {
  const { store, dispatcher, connection, session } = await fixture();
  const { value } = await session().next();
  const { SessionID } = value as SessionMessage;
  const open = () => connection.serverStream<AssignmentsMessage>("dispatcher.assignments", { SessionID });
  const seen: number[] = [];
  await store.update((tx) => tx.create("tasks", testTask("t", "n1")));
  const stream = open();
  await stream.next();
  const odd = { ...testTask("odd", "n1"), Status: undefined };
  store.subscribe(() => seen.push(store.index));
  await store.update((tx) => tx.create("tasks", odd as unknown as ReturnType<typeof testTask>));
  await settle();
  assert.equal(seen.length, 1, "other watchers see it");
  await assert.rejects(stream.next(), { code: "internal" });
  await store.update((tx) => tx.delete("tasks", "odd"));
  const again = await open().next();
  assert.deepEqual(
    (again.value as AssignmentsMessage).Changes.map((change) => "Task" in change && change.Task.ID),
    ["t"],
  );
  await dispatcher.stop();
});
