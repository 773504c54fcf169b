import assert from "node:assert/strict";
import type { AssignmentsMessage, HeartbeatResponse, SessionMessage } from "../../../api/dispatcher.ts";
import { hasCode } from "../../../api/errors.ts";
import type { Task, TaskStatus } from "../../../api/task.ts";
import type { TaskState } from "../../../api/task_state.ts";
import {
  DESCRIPTION,
  DirectConnection,
  openSession as open,
  Reader,
  testDispatcher,
  testNode,
  testTask,
} from "./harness.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";

async function fixture(nodes = ["n1"]) {
  const clock = new FakeClock();
  const { store, consensus } = testStore({ clock });
  await store.update((tx) => nodes.forEach((id) => tx.create("nodes", testNode(id))));
  const { dispatcher, shown } = await testDispatcher(store, clock);
  const connect = (id = "n1") => new DirectConnection(dispatcher.methods(), id);
  return { clock, store, consensus, dispatcher, shown, connect };
}

const statesOf = (store: { all(table: "nodes"): { Status: { State: string } }[] }) =>
  store.all("nodes").map((node) => node.Status.State);

async function assignments(connection: DirectConnection, session: Reader<SessionMessage>) {
  const SessionID = session.last.SessionID;
  const reader = new Reader(
    connection.serverStream<AssignmentsMessage>("dispatcher.assignments", { SessionID }),
  );
  await settle();
  return reader;
}

const heartbeat = (connection: DirectConnection, session: Reader<SessionMessage>) =>
  connection.call<HeartbeatResponse>("dispatcher.heartbeat", { SessionID: session.last.SessionID });

const status = (State: TaskState, Message = ""): TaskStatus => ({
  Timestamp: "2026-01-01T00:00:00.000Z",
  State,
  Message,
});

const report = (
  connection: DirectConnection,
  session: Reader<SessionMessage>,
  TaskID: string,
  Status: TaskStatus,
) =>
  connection.call("dispatcher.updateTaskStatus", {
    SessionID: session.last.SessionID,
    Updates: [{ TaskID, Status }],
  });

Deno.test("Dispatcher: the node is ready and described before the first session message", async () => {
  const { store, dispatcher, connect } = await fixture();
  const connection = connect();
  const session = new Reader(
    connection.serverStream<SessionMessage>("dispatcher.session", { Description: DESCRIPTION }),
  );
  while (session.messages.length === 0) await settle(1);
  assert.equal(session.last.Node.Status.State, "ready");
  assert.equal(session.last.Node.Status.Addr, "192.168.0.7");
  assert.deepEqual(store.get("nodes", "n1")?.Description, DESCRIPTION);
  assert.deepEqual(session.last.Managers.map((m) => m.Addr), ["10.0.0.1:2377"]);
  dispatcher.stop();
  await session.done;
  assert.ok(hasCode(session.error, "unavailable"));
});

Deno.test("Dispatcher: a node not in the cluster gets no session", async () => {
  const { dispatcher, connect } = await fixture();
  const session = await open(connect("stranger"));
  assert.ok(hasCode(session.error, "not_found"));
  dispatcher.stop();
});

Deno.test("Dispatcher: a second session invalidates the first (77)", async () => {
  const { dispatcher, connect } = await fixture();
  const first = connect(), second = connect();
  const old = await open(first);
  const present = await open(second);
  assert.notEqual(old.last.SessionID, present.last.SessionID);
  await old.done;
  assert.ok(hasCode(old.error, "aborted"));
  await assert.rejects(heartbeat(first, old), { code: "invalid_argument" });
  await heartbeat(second, present);
  dispatcher.stop();
  await present.done;
});

Deno.test("Dispatcher: a fourth session within 8 s is refused, going on with the old one is not (78)", async () => {
  const { clock, dispatcher, connect } = await fixture();
  const connection = connect();
  for (let i = 0; i < 3; i++) assert.equal((await open(connection)).error, undefined);
  const refused = await open(connection);
  assert.ok(hasCode(refused.error, "resource_exhausted") && refused.error.retryable);
  await clock.advance(8000);
  const accepted = await open(connection);
  const resumed = await open(connect(), accepted.last.SessionID);
  assert.equal(resumed.last.SessionID, accepted.last.SessionID);
  assert.equal(accepted.error, undefined);
  dispatcher.stop();
});

Deno.test("Dispatcher: a session that waits for a majority does not expire meanwhile (simulation seed 1277)", async () => {
  const { clock, store, consensus, dispatcher, connect } = await fixture();
  const majority = Promise.withResolvers<void>();
  consensus.beforeCommit = () => majority.promise;
  const session = await open(connect());
  await clock.advance(60_000);
  majority.resolve();
  await settle();
  assert.deepEqual([session.messages.length, session.error], [1, undefined]);
  assert.deepEqual(statesOf(store), ["ready"]);
  await clock.advance(3 * 5500);
  assert.deepEqual(statesOf(store), ["down"]);
  dispatcher.stop();
});

Deno.test("Dispatcher: without heartbeats a node is down after three periods (79)", async () => {
  const { clock, store, dispatcher, connect } = await fixture();
  const connection = connect();
  const session = await open(connection);
  const index = store.index;
  for (let i = 0; i < 4; i++) {
    const { PeriodMs } = await heartbeat(connection, session);
    assert.ok(PeriodMs >= 4500 && PeriodMs <= 5500, String(PeriodMs));
    await clock.advance(PeriodMs);
  }
  assert.equal(store.index, index, "heartbeats are not written");
  await clock.advance(3 * 4500 - 5500 - 1);
  assert.deepEqual(statesOf(store), ["ready"]);
  await clock.advance(3 * 5500);
  assert.deepEqual(statesOf(store), ["down"]);
  await assert.rejects(heartbeat(connection, session), { code: "not_found" });
  assert.ok(hasCode(session.error, "not_found"));
  const again = await open(connection, session.last.SessionID);
  assert.deepEqual(statesOf(store), ["ready"]);
  assert.notEqual(again.last.SessionID, session.last.SessionID);
  dispatcher.stop();
});

Deno.test("Dispatcher: a broken connection alone leaves the node ready", async () => {
  const { store, dispatcher, connect } = await fixture();
  const connection = connect();
  const session = await open(connection);
  connection.cut();
  await session.done;
  assert.deepEqual(statesOf(store), ["ready"]);
  dispatcher.stop();
});

Deno.test("Dispatcher: a new leader holds nodes unknown and gives them six periods (85)", async () => {
  const { clock, store, dispatcher, connect } = await fixture(["n1", "n2"]);
  assert.deepEqual(statesOf(store), ["unknown", "unknown"]);
  await open(connect("n1"));
  dispatcher.stop();
  const next = await testDispatcher(store, clock);
  assert.deepEqual(statesOf(store), ["unknown", "unknown"]);
  await clock.advance(6 * 4500 - 1000);
  assert.deepEqual(statesOf(store), ["unknown", "unknown"]);
  const connection = new DirectConnection(next.dispatcher.methods(), "n1");
  await open(connection);
  await clock.advance(7000);
  assert.deepEqual(statesOf(store), ["ready", "down"]);
  next.dispatcher.stop();
});

Deno.test("Dispatcher: assignments start complete, with assigned tasks only (80, 81)", async () => {
  const { clock, store, dispatcher, connect } = await fixture(["n1", "n2"]);
  await store.update((tx) => {
    tx.create("tasks", testTask("a", "n1"));
    tx.create("tasks", testTask("pending", "n1", { State: "pending" }));
    tx.create("tasks", testTask("orphan", "n1", { State: "orphaned" }));
    tx.create("tasks", testTask("other", "n2"));
  });
  const connection = connect();
  const session = await open(connection);
  const stream = await assignments(connection, session);
  assert.equal(stream.messages.length, 1);
  const [complete] = stream.messages as [AssignmentsMessage];
  assert.deepEqual([complete.Type, complete.AppliesTo, complete.Index], ["complete", "", store.index]);
  assert.deepEqual(names(complete), ["update a"]);
  const pending = store.get("tasks", "pending")!;
  await store.update((tx) => tx.update("tasks", { ...pending, Status: status("assigned") }));
  await settle();
  assert.equal(stream.messages.length, 2, "a lone change is not held back");
  assert.deepEqual(names(stream.last), ["update pending"]);
  assert.equal(stream.last.AppliesTo, complete.ResultsIn);
  await store.update((tx) => tx.delete("tasks", "a"));
  await clock.advance(0);
  assert.deepEqual(names(stream.last), ["remove a"]);
  dispatcher.stop();
  await stream.done;
});

const names = (message: AssignmentsMessage) =>
  message.Changes.map((change) =>
    `${change.Action} ${change.Action === "remove" ? change.ID : (change as { Task: Task }).Task.ID}`
  );

Deno.test("Dispatcher: under load changes are batched, created and deleted is a single remove (80)", async () => {
  const { clock, store, dispatcher, connect } = await fixture();
  const connection = connect();
  const stream = await assignments(connection, await open(connection));
  for (let i = 0; i < 30; i++) {
    await store.update((tx) => tx.create("tasks", testTask(`t${i}`, "n1")));
    await settle(1);
  }
  await store.update((tx) => tx.delete("tasks", "t29"));
  assert.ok(stream.messages.length <= 10, `${stream.messages.length} messages`);
  await clock.advance(100);
  const changes = stream.messages.flatMap(names);
  assert.equal(changes.length, 30);
  assert.equal(changes.at(-1), "remove t29");
  dispatcher.stop();
  await stream.done;
});

Deno.test("Dispatcher: a hundred changes go out without waiting, a large set in parts", async () => {
  const { clock, store, dispatcher, connect } = await fixture();
  const create = (from: number, to: number) =>
    store.batch(
      Array.from({ length: to - from }, (_, i) => testTask(`t${from + i}`, "n1")),
      (tx, t) => tx.create("tasks", t),
    );
  await create(0, 450);
  const connection = connect();
  const stream = await assignments(connection, await open(connection));
  assert.deepEqual(stream.messages.map((m) => [m.Type, m.More ?? false, m.Changes.length]), [
    ["complete", true, 200],
    ["complete", true, 200],
    ["complete", false, 50],
  ]);
  await create(450, 600);
  await settle();
  await clock.advance(0);
  assert.equal(stream.messages.flatMap(names).length, 600);
  dispatcher.stop();
  await stream.done;
});

Deno.test("Dispatcher: an agent's own status is not echoed, a desired state is sent", async () => {
  const { store, dispatcher, connect } = await fixture();
  await store.update((tx) => tx.create("tasks", testTask("a", "n1")));
  const connection = connect();
  const session = await open(connection);
  const stream = await assignments(connection, session);
  await report(connection, session, "a", status("running"));
  await settle();
  assert.equal(stream.messages.length, 1);
  const task = store.get("tasks", "a")!;
  assert.equal(task.Status.State, "running");
  await store.update((tx) => tx.update("tasks", { ...task, DesiredState: "shutdown" }));
  await settle();
  assert.deepEqual(names(stream.last), ["update a"]);
  dispatcher.stop();
  await stream.done;
});

Deno.test("Dispatcher: a task moved to another node leaves the first one", async () => {
  const { store, dispatcher, connect } = await fixture();
  await store.update((tx) => tx.create("tasks", testTask("a", "n1")));
  const connection = connect();
  const stream = await assignments(connection, await open(connection));
  await store.update((tx) => tx.update("tasks", { ...tx.get("tasks", "a")!, NodeID: "n2" }));
  await settle();
  assert.deepEqual(names(stream.last), ["remove a"]);
  dispatcher.stop();
  await stream.done;
});

Deno.test("Dispatcher: a status for another node's task is denied, for an unknown one ignored (83)", async () => {
  const { store, dispatcher, connect } = await fixture(["n1", "n2"]);
  await store.update((tx) => tx.create("tasks", testTask("b", "n2")));
  const connection = connect();
  const session = await open(connection);
  await assert.rejects(report(connection, session, "b", status("running")), { code: "permission_denied" });
  await report(connection, session, "gone", status("running"));
  assert.equal(store.get("tasks", "b")?.Status.State, "assigned");
  dispatcher.stop();
});

Deno.test("Dispatcher: a task's state never goes back, and repeated statuses write nothing", async () => {
  const { clock, store, dispatcher, connect } = await fixture();
  await store.update((tx) => tx.create("tasks", testTask("a", "n1")));
  const connection = connect();
  const session = await open(connection);
  await report(connection, session, "a", status("failed", "exit 1"));
  const index = store.index;
  await report(connection, session, "a", status("running"));
  await report(connection, session, "a", status("failed", "exit 1"));
  assert.equal(store.index, index);
  assert.equal(store.get("tasks", "a")?.Status.State, "failed");
  const future = { ...status("rejected"), Timestamp: "2999-01-01T00:00:00.000Z" };
  await report(connection, session, "a", future);
  assert.equal(store.get("tasks", "a")?.Status.Timestamp, new Date(clock.now()).toISOString());
  dispatcher.stop();
});

Deno.test("Dispatcher: many statuses are written in few transactions", async () => {
  const nodes = Array.from({ length: 8 }, (_, i) => `n${i}`);
  const { clock, store, dispatcher, connect } = await fixture(nodes);
  const ids = Array.from({ length: 400 }, (_, i) => `t${i}`);
  const nodeOf = (id: string) => nodes[Number(id.slice(1)) % nodes.length]!;
  await store.batch(ids, (tx, id) => tx.create("tasks", testTask(id, nodeOf(id))));
  const sessions = new Map<string, [DirectConnection, Reader<SessionMessage>]>();
  for (const node of nodes) sessions.set(node, [connect(node), await open(connect(node))]);
  const index = store.index;
  const reports = ids.map((id) => report(...sessions.get(nodeOf(id))!, id, status("running")));
  await clock.advance(100);
  await Promise.all(reports);
  assert.ok(store.index - index <= 12, `${store.index - index} transactions`);
  dispatcher.stop();
});

Deno.test("Dispatcher: malformed requests are refused with every problem named", async () => {
  const { dispatcher, connect } = await fixture();
  const connection = connect();
  const session = await open(connection);
  const call = (request: unknown) => connection.call("dispatcher.updateTaskStatus", request);
  const SessionID = session.last.SessionID;
  await assert.rejects(call(null), { code: "invalid_argument" });
  await assert.rejects(
    call({ SessionID, Updates: [{ TaskID: 1, Status: { State: "flying" } }] }),
    (error) => {
      assert.ok(hasCode(error, "invalid_argument"));
      assert.deepEqual(error.problems.map((p) => p.field), [
        "Updates[0].TaskID",
        "Updates[0].Status.State",
        "Updates[0].Status.Timestamp",
        "Updates[0].Status.Message",
      ]);
      return true;
    },
  );
  await assert.rejects(call({ SessionID, Updates: [{ TaskID: "a", Status: status("orphaned") }] }), {
    code: "invalid_argument",
  });
  await assert.rejects(call({ SessionID, Updates: new Array(1001).fill({}) }), { code: "invalid_argument" });
  const huge = { ...DESCRIPTION, Hostname: "x".repeat(40_000) };
  const stream = new Reader(connection.serverStream("dispatcher.session", { Description: huge }));
  await stream.done;
  assert.ok(hasCode(stream.error, "invalid_argument"));
  dispatcher.stop();
});

Deno.test("Dispatcher: a change of managers, root or node spec is a session message (84)", async () => {
  const { store, dispatcher, shown, connect } = await fixture();
  const session = await open(connect());
  shown.managers = [...shown.managers, { NodeID: "m2", Addr: "10.0.0.2:2377", Weight: 10 }];
  dispatcher.refresh();
  await settle();
  assert.equal(session.last.Managers.length, 2);
  shown.root = "NEXT";
  dispatcher.refresh();
  await settle();
  assert.equal(session.last.RootCA, "NEXT");
  const node = store.get("nodes", "n1")!;
  await store.update((tx) => tx.update("nodes", { ...node, Spec: { ...node.Spec, Role: "manager" } }));
  await settle();
  assert.equal(session.last.Node.Spec.Role, "manager");
  const count = session.messages.length;
  dispatcher.refresh();
  await settle();
  assert.equal(session.messages.length, count, "nothing changed");
  dispatcher.stop();
});

Deno.test("Dispatcher: removing a node from the cluster ends its session with not_found", async () => {
  const { store, dispatcher, connect } = await fixture();
  const connection = connect();
  const session = await open(connection);
  const stream = await assignments(connection, session);
  await store.update((tx) => tx.delete("nodes", "n1"));
  await session.done;
  await stream.done;
  assert.ok(hasCode(session.error, "not_found"));
  assert.ok(hasCode(stream.error, "not_found"));
  assert.ok(hasCode((await open(connection)).error, "not_found"));
  dispatcher.stop();
});

Deno.test("Dispatcher: tasks of a node down for 24 h are orphaned, a global service's are left to it", async () => {
  const { clock, store, dispatcher, connect } = await fixture();
  await store.update((tx) => {
    tx.create("tasks", testTask("a", "n1", { State: "running" }));
    tx.create("tasks", testTask("first", "n1", { State: "running", Slot: 0 }));
    const { Slot: _, ...bound } = testTask("global", "n1", { State: "running" });
    tx.create("tasks", bound);
    tx.create("tasks", testTask("ended", "n1", { State: "failed" }));
  });
  await open(connect());
  await clock.advance(20_000);
  assert.deepEqual(statesOf(store), ["down"]);
  assert.equal(store.get("tasks", "a")?.Status.State, "running");
  await clock.advance(24 * 3600 * 1000);
  const states = ["a", "first", "global", "ended"].map((id) => store.get("tasks", id)?.Status.State);
  assert.deepEqual(states, ["orphaned", "orphaned", "running", "failed"]);
  dispatcher.stop();
});
