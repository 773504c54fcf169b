/** What agents send is checked field by field before it is stored, and a node that floods is slowed down alone. */
import assert from "node:assert/strict";
import type { AssignmentsMessage, SessionMessage } from "../../../api/dispatcher.ts";
import { CoveyError, hasCode } from "../../../api/errors.ts";
import { decodeEntry } from "../../../manager/store/entry.ts";
import { ObjectReader } from "../../../manager/store/object_reader.ts";
import { StatusReporter } from "../../../agent/status_reporter.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import {
  DESCRIPTION,
  DirectConnection,
  openSession,
  Reader,
  testDispatcher,
  testNode,
  testTask,
} from "./harness.ts";

const NODES = ["n1", "n2"];

async function fixture(tasks = 1) {
  const clock = new FakeClock();
  const { store, consensus } = testStore({ clock });
  for (const id of NODES) {
    await store.update((tx) => tx.create("nodes", testNode(id)));
    const ids = Array.from({ length: tasks }, (_, nth) => `${id}t${nth}`);
    await store.batch(ids, (tx, taskID) => tx.create("tasks", testTask(taskID, id)));
  }
  const { dispatcher } = await testDispatcher(store, clock);
  const sessions = new Map<string, { connection: DirectConnection; session: Reader<SessionMessage> }>();
  for (const id of NODES) {
    const connection = new DirectConnection(dispatcher.methods(), id);
    sessions.set(id, { connection, session: await openSession(connection) });
  }
  const call = async (id: string, method: string, request: Record<string, unknown>) => {
    const { connection, session } = sessions.get(id)!;
    const answer = connection.call(`dispatcher.${method}`, { SessionID: session.last.SessionID, ...request })
      .then(() => undefined, (error: CoveyError) => error);
    await settle();
    await clock.advance(100);
    return await answer;
  };
  const report = (id: string, Status: unknown, TaskID = `${id}t0`) =>
    call(id, "updateTaskStatus", { Updates: [{ TaskID, Status }] });
  return { clock, store, consensus, dispatcher, sessions, call, report };
}

const RUNNING = { Timestamp: "2026-01-01T00:00:00.000Z", State: "running", Message: "started" };

/** As the store's followers and later starts do. */
function assertReadable(consensus: { entries: readonly { entry: Uint8Array }[] }): void {
  const reader = new ObjectReader();
  for (const { entry } of consensus.entries) decodeEntry(entry, reader);
}

Deno.test("Dispatcher: a status of the wrong type, size or count is refused with its path, and nothing is written", async () => {
  const { store, consensus, dispatcher, report } = await fixture();
  const before = consensus.entries.length;
  const container = (fields: unknown) => ({ ...RUNNING, ContainerStatus: fields });
  const wrong: [status: unknown, field: string][] = [
    [container({ PID: Uint8Array.of(1, 2) }), "ContainerStatus.PID"],
    [container({ PID: -(2n ** 64n) }), "ContainerStatus.PID"],
    [container({ PID: 2n ** 63n }), "ContainerStatus.PID"],
    [container({ PID: 2 ** 63 }), "ContainerStatus.PID"],
    [container({ PID: 1.5 }), "ContainerStatus.PID"],
    [container({ ExitCode: NaN }), "ContainerStatus.ExitCode"],
    [container({ ContainerID: "x".repeat(257) }), "ContainerStatus.ContainerID"],
    [container({ ContainerID: "a\u001b[2J" }), "ContainerStatus.ContainerID"],
    [container([]), "ContainerStatus"],
    [{ ...RUNNING, State: { toString: 1 } }, "State"],
    [{ ...RUNNING, State: "constructor" }, "State"],
    [{ ...RUNNING, Timestamp: 5 }, "Timestamp"],
    [{ ...RUNNING, Err: {} }, "Err"],
    [{ ...RUNNING, PortStatus: { Ports: [{ TargetPort: 70_000 }] } }, "PortStatus.Ports[0].TargetPort"],
    [{ ...RUNNING, PortStatus: { Ports: new Array(257).fill({}) } }, "PortStatus.Ports"],
  ];
  for (const [status, field] of wrong) {
    const error = await report("n1", status);
    assert.ok(hasCode(error, "invalid_argument"), `${field}: ${error}`);
    assert.deepEqual(error.problems.map((problem) => problem.field), [`Updates[0].Status.${field}`]);
  }
  assert.equal(consensus.entries.length, before);
  assert.equal(store.get("tasks", "n1t0")!.Status.State, "assigned");
  dispatcher.stop();
});

Deno.test("Dispatcher: what a status says is stored as every client can read and show it", async () => {
  const { store, consensus, dispatcher, report } = await fixture();
  const status = {
    ...RUNNING,
    Timestamp: "-000001-01-01T00:00:00Z",
    State: "failed",
    Message: "a\u202eb\u001b[31m\nc",
    Err: `x\ud800${"y".repeat(5000)}`,
    Strange: { deep: 1n },
    ContainerStatus: { PID: 7, More: 1 },
    PortStatus: { Ports: [{ TargetPort: 80 }] },
  };
  assert.equal(await report("n1", status), undefined);
  const stored = store.get("tasks", "n1t0")!.Status;
  assert.match(stored.Timestamp, /^20\d\d-\d\d-\d\dT[\d:.]+Z$/);
  assert.equal(stored.Message, "a b [31m c");
  assert.equal(stored.Err!.length, 4096);
  assert.ok(stored.Err!.isWellFormed());
  assert.deepEqual(stored.ContainerStatus, { ContainerID: "", PID: 7, ExitCode: 0 });
  assert.deepEqual(stored.PortStatus, {
    Ports: [{ Protocol: "tcp", TargetPort: 80, PublishMode: "host" }],
  });
  assert.deepEqual(Object.keys(stored).sort(), [
    "ContainerStatus",
    "Err",
    "Message",
    "PortStatus",
    "State",
    "Timestamp",
  ]);
  assertReadable(consensus);
  dispatcher.stop();
});

Deno.test("Dispatcher: a description is refused with all that is wrong in it", async () => {
  const { dispatcher, sessions, store } = await fixture();
  const { connection } = sessions.get("n1")!;
  const refused = await openSession(connection, undefined, {
    ...DESCRIPTION,
    Hostname: "a\u202eb",
    Resources: { NanoCPUs: 2 ** 60, MemoryBytes: 1n, GenericResources: [{}, { DiscreteResourceSpec: {} }] },
    Engine: { EngineVersion: 1, Labels: { "a\nb": "x", c: "\u001b]0;x\u0007" } },
    Runtimes: ["process", "x".repeat(256)],
  });
  assert.ok(hasCode(refused.error, "invalid_argument"));
  assert.deepEqual(refused.error.problems.map(({ field }) => field), [
    "Description.Hostname",
    "Description.Resources.NanoCPUs",
    "Description.Resources.MemoryBytes",
    "Description.Resources.GenericResources[0]",
    "Description.Resources.GenericResources[1]",
    "Description.Engine.EngineVersion",
    "Description.Engine.Labels.a b",
    "Description.Engine.Labels.c",
    "Description.Runtimes[1]",
  ]);
  assert.equal(store.get("nodes", "n1")!.Description!.Hostname, DESCRIPTION.Hostname);
  dispatcher.stop();
});

Deno.test("Dispatcher: a flood of one node is answered with resource_exhausted, and others are served", async () => {
  const { clock, dispatcher, sessions, call } = await fixture();
  const limits: [method: string, request: () => Record<string, unknown>, calls: number][] = [
    ["updateTaskStatus", () => ({ Updates: [] }), 150],
    ["updateTaskStatus", () => ({ Updates: "junk" }), 150],
    ["heartbeat", () => ({}), 150],
    ["updateTaskStatus", () => ({ Updates: new Array(1000).fill({ TaskID: "none", Status: RUNNING }) }), 20],
  ];
  for (const [method, request, calls] of limits) {
    const { connection, session } = sessions.get("n1")!;
    const SessionID = session.last.SessionID;
    const errors = await Promise.all(
      Array.from({ length: calls }, () =>
        connection.call(`dispatcher.${method}`, { SessionID, ...request() })
          .then(() => undefined, (error: CoveyError) => error)),
    );
    const dropped = errors.filter((error) => hasCode(error, "resource_exhausted"));
    assert.ok(dropped.length >= calls / 4 && dropped.length < calls, `${method}: ${dropped.length} dropped`);
    assert.ok(dropped.every((error) => error!.retryable));
    assert.match(dropped[0]!.message, /^Cannot serve node n1: it sends too many \w+, more than \d+ a second/);
    // Whatever else a node floods with, it still says that it lives; and nobody else is held up.
    if (method !== "heartbeat") assert.equal(await call("n1", "heartbeat", {}), undefined);
    assert.equal(await call("n2", method, { Updates: [] }), undefined);
    await clock.advance(4000);
  }
  // It is served again once it has calmed down.
  await clock.advance(4000);
  assert.equal(await call("n1", "updateTaskStatus", { Updates: [] }), undefined);
  dispatcher.stop();
});

Deno.test("Dispatcher: descriptions and sets of tasks are not asked for without end, in one session or many", async () => {
  const { clock, dispatcher, sessions, store } = await fixture();
  const { connection, session } = sessions.get("n1")!;
  const { SessionID } = session.last;
  const before = store.index;
  let refused = 0;
  for (let nth = 0; nth < 100; nth++) {
    const again = await openSession(connection, SessionID, { ...DESCRIPTION, Hostname: `h${nth}` });
    if (hasCode(again.error, "resource_exhausted")) refused++;
  }
  assert.ok(refused >= 75, `${refused} refused`);
  assert.ok(store.index - before <= 25, `${store.index - before} commits`);
  await clock.advance(5000);
  let sets = 0;
  for (let nth = 0; nth < 100; nth++) {
    const stream = new Reader(
      connection.serverStream<AssignmentsMessage>("dispatcher.assignments", { SessionID }),
    );
    await settle();
    if (!hasCode(stream.error, "resource_exhausted")) sets++;
  }
  assert.ok(sets > 0 && sets <= 25, `${sets} sets of tasks`);
  dispatcher.stop();
});

Deno.test("Dispatcher: what was dropped of an honest agent arrives in the end", async () => {
  const { clock, store, dispatcher, sessions } = await fixture(12_000);
  const { connection, session } = sessions.get("n1")!;
  const reporter = new StatusReporter(clock);
  let dropped = 0;
  reporter.connect(async (Updates) => {
    try {
      await connection.call("dispatcher.updateTaskStatus", { SessionID: session.last.SessionID, Updates });
    } catch (thrown) {
      if (hasCode(thrown, "resource_exhausted")) dropped++;
      throw thrown;
    }
  }, store.find("tasks", "nodeID", "n1").map(({ ID }) => [ID, { ...RUNNING, State: "running" as const }]));
  for (let second = 0; second < 60 && reporter.pending > 0; second++) await clock.advance(1000);
  assert.ok(dropped > 0);
  assert.equal(reporter.pending, 0);
  assert.ok(store.find("tasks", "nodeID", "n1").every(({ Status }) => Status.State === "running"));
  dispatcher.stop();
});

Deno.test("Dispatcher: a set of large tasks comes in as many messages as a frame allows", async () => {
  const { store, dispatcher, sessions } = await fixture(0);
  const Env = [`BIG=${"ä".repeat(60_000)}`];
  await store.batch(Array.from({ length: 40 }, (_, nth) => nth), (tx, nth) => {
    const Spec = { ProcessSpec: { Command: "sleep", Env }, ForceUpdate: nth, Runtime: "process" };
    tx.create("tasks", testTask(`big${nth}`, "n1", { Spec }));
  });
  const { connection, session } = sessions.get("n1")!;
  const stream = new Reader(
    connection.serverStream<AssignmentsMessage>("dispatcher.assignments", {
      SessionID: session.last.SessionID,
    }),
  );
  await settle();
  assert.equal(stream.error, undefined);
  const sizes = stream.messages.map((message) => new TextEncoder().encode(JSON.stringify(message)).length);
  assert.ok(Math.max(...sizes) < 3.5 * 1024 * 1024, `${Math.max(...sizes)} bytes`);
  assert.equal(stream.messages.flatMap(({ Changes }) => Changes).length, 40);
  assert.equal(stream.last.More, undefined);
  dispatcher.stop();
});
