/** Logs from nodes to clients: a real dispatcher and store, agents that send what the test says. */
import assert from "node:assert/strict";
import type { SessionMessage } from "../../../api/dispatcher.ts";
import { type LogAsk, type LogPush, type LogPushAnswer, logTime } from "../../../api/logs.ts";
import type { Task } from "../../../api/task.ts";
import {
  LogBroker,
  type LogOptions,
  type LogSubscription,
  type ShownEntry,
} from "../../../manager/broker/mod.ts";
import {
  DESCRIPTION,
  DirectConnection,
  Reader,
  seededRandom,
  testDispatcher,
  testNode,
  testTask,
} from "../dispatcher/harness.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";

const SERVICE = { serviceID: "service" };
const ALL: LogOptions = { streams: ["stdout", "stderr"], follow: false };

/** An agent with a session. */
class Agent {
  connection!: DirectConnection;
  session!: Reader<SessionMessage>;
  #seq = 0;
  run = "run1";

  constructor(readonly world: Pick<World, "dispatcher">, readonly nodeID: string) {}

  async open(Answers?: string[]): Promise<this> {
    this.connection = new DirectConnection(this.world.dispatcher.methods(), this.nodeID);
    const request = { Description: DESCRIPTION, ...(Answers && { Answers }) };
    this.session = new Reader(this.connection.serverStream<SessionMessage>("dispatcher.session", request));
    await settle();
    return this;
  }

  get asks(): LogAsk[] {
    return (this.session.last.Asks ?? []).filter(({ Kind }) => Kind === "logs") as LogAsk[];
  }

  /** Sends a push of the next number, to the first ask unless it says otherwise. */
  async push(push: Partial<LogPush> | Record<string, unknown> = {}): Promise<LogPushAnswer> {
    if (this.asks.length === 0) await settle();
    const { SessionID } = this.session.last, AskID = this.asks[0]?.ID ?? "none";
    const request = { SessionID, AskID, Run: this.run, Seq: ++this.#seq, ...push };
    return await this.connection.call("dispatcher.publishLogs", request);
  }
}

interface World {
  clock: FakeClock;
  store: ReturnType<typeof testStore>["store"];
  dispatcher: Awaited<ReturnType<typeof testDispatcher>>["dispatcher"];
  broker: LogBroker;
  agent(nodeID: string): Promise<Agent>;
}

/** A cluster with a task `t1` on node `n1`, `t2` on `n2`, and so on. */
async function world(nodes: string[], more: Task[] = []): Promise<World> {
  const clock = new FakeClock(), { store } = testStore({ clock });
  await store.update((tx) => {
    nodes.forEach((id) => tx.create("nodes", testNode(id)));
    nodes.forEach((id) => tx.create("tasks", testTask(`t${id.slice(1)}`, id)));
    more.forEach((task) => tx.create("tasks", task));
  });
  const { dispatcher } = await testDispatcher(store, clock);
  const broker = new LogBroker({ store, asks: dispatcher.asks, clock, random: seededRandom(7) });
  const made: World = {
    clock,
    store,
    dispatcher,
    broker,
    agent: (nodeID) => new Agent(made, nodeID).open(["logs"]),
  };
  return made;
}

function entry(TaskID: string, ms: number, text: string, more = {}) {
  const Data = new TextEncoder().encode(`${text}\n`);
  return { TaskID, Stream: "stdout", Time: logTime(ms), Data, ...more };
}

const textOf = ({ Data }: ShownEntry) => new TextDecoder().decode(Data).trimEnd();

/** Reads a subscription in the background. */
function reading(subscription: LogSubscription) {
  const read = { texts: [] as string[], error: undefined as Error | undefined, over: false };
  void (async () => {
    try {
      for (let step = await subscription.next(); step; step = await subscription.next()) {
        read.texts.push(...step.map(textOf));
      }
      read.over = true;
    } catch (thrown) {
      read.error = thrown as Error;
    }
  })();
  return read;
}

const errorOf = ({ error }: ReturnType<typeof reading>) => error?.message;

Deno.test("Log broker: nodes are asked in their sessions, and what they send comes in order", async () => {
  const { broker, agent } = await world(["n1", "n2"]);
  const [first, second] = [await agent("n1"), await agent("n2")];
  const subscription = broker.subscribe(SERVICE, { ...ALL, since: logTime(0) });
  await settle();
  assert.deepEqual(first.asks.map(({ ID: _, ...ask }) => ask), [{
    Kind: "logs",
    Streams: ["stdout", "stderr"],
    Follow: false,
    Since: logTime(0),
    TaskIDs: ["t1"],
  }]);
  const read = reading(subscription);
  await first.push({ Entries: [entry("t1", 1, "a1"), entry("t1", 4, "a4")] });
  await settle();
  assert.deepEqual(read.texts, [], "the other node may have something from before");
  await second.push({ Entries: [entry("t2", 2, "b2"), entry("t2", 3, "b3")], CaughtUp: true, Done: true });
  await settle();
  assert.deepEqual(read.texts, ["a1", "b2", "b3", "a4"]);
  assert.equal(read.over, false);
  await first.push({ Done: true });
  await settle();
  assert.ok(read.over);
  subscription.close();
  await settle();
  assert.deepEqual([first.asks, second.asks], [[], []], "nobody is asked any more");
  assert.deepEqual(await first.push({ AskID: subscription.constructor.name }), { Over: true });
});

Deno.test("Log broker: the tail is that of the whole service", async () => {
  const { broker, agent } = await world(["n1", "n2"]);
  const [first, second] = [await agent("n1"), await agent("n2")];
  const read = reading(broker.subscribe(SERVICE, { ...ALL, tail: 2 }));
  await settle();
  assert.equal(first.asks[0]!.Tail, 2);
  await first.push({ Entries: [entry("t1", 1, "a1"), entry("t1", 4, "a4")], CaughtUp: true, Done: true });
  await second.push({ Entries: [entry("t2", 2, "b2"), entry("t2", 3, "b3")], CaughtUp: true, Done: true });
  await settle();
  assert.deepEqual(read.texts, ["b3", "a4"]);
});

Deno.test("Log broker: what cannot be had is named in the end, in SwarmKit's words", async () => {
  const waiting = testTask("new", "", { State: "pending" });
  const { broker, agent, dispatcher } = await world(["n1", "n2", "n3"], [waiting]);
  const first = await agent("n1");
  const old = new Agent({ dispatcher }, "n2");
  await old.open();
  const read = reading(broker.subscribe(SERVICE, ALL));
  await settle();
  assert.deepEqual(old.asks, [], "an agent that does not answer is not asked");
  await first.push({ Entries: [entry("t1", 1, "a1")], Errors: ["task t1: the log driver cannot be read"] });
  first.connection.cut();
  await first.open(["logs"]);
  await settle();
  assert.deepEqual(read.texts, ["a1"]);
  assert.equal(errorOf(read), undefined, "one that comes back at once goes on");
  await first.push({ Done: true });
  await settle();
  assert.equal(
    errorOf(read),
    "warning: incomplete log stream. some logs could not be retrieved for the following reasons: " +
      "node n2 cannot be asked for logs: its agent is of an older version, node n3 is not available, " +
      "task new has not been scheduled, task t1: the log driver cannot be read",
  );
});

Deno.test("Log broker: a node that goes away while it is asked is named, and ends nothing else", async () => {
  const { broker, agent, clock } = await world(["n1", "n2"]);
  const [first, second] = [await agent("n1"), await agent("n2")];
  const read = reading(broker.subscribe(SERVICE, ALL));
  await first.push({ Entries: [entry("t1", 1, "a1")], Done: true });
  second.connection.cut();
  await clock.advance(60_000);
  assert.deepEqual(read.texts, ["a1"]);
  assert.match(read.error!.message, /reasons: node n2 disconnected unexpectedly$/);
});

Deno.test("Log broker: a follower sees the gap, and the rest once, when the node is back", async () => {
  const { broker, agent, clock, dispatcher } = await world(["n1"]);
  const first = await agent("n1");
  const read = reading(broker.subscribe(SERVICE, { ...ALL, follow: true, tail: 10 }));
  await first.push({ Entries: [entry("t1", 1, "one")], CaughtUp: true });
  await settle();
  const sent = { AskID: first.asks[0]!.ID, Seq: 2, Entries: [entry("t1", 2, "two")] };
  await first.push(sent);
  await clock.advance(60_000);
  await settle();
  assert.deepEqual(read.texts.slice(0, 2), ["one", "two"]);
  assert.match(read.texts[2]!, /^covey: gap: node n1 disconnected unexpectedly; .* once it is back$/);
  // The answer to the second push was lost: it comes again, and then what was printed meanwhile.
  await first.open(["logs"]);
  assert.deepEqual([first.asks[0]!.After, first.asks[0]!.Tail], [logTime(2), undefined]);
  await first.push(sent);
  await first.push({ Seq: 3, Entries: [entry("t1", 3, "three")] });
  await settle();
  assert.deepEqual(read.texts.slice(3), ["three"]);
  await dispatcher.stop();
  await settle();
  assert.equal(read.error && "reason" in read.error && read.error.reason, "not_leading");
});

Deno.test("Log broker: a follower gets tasks that are made later, and is told of a log that is cut", async () => {
  const { broker, agent, store } = await world(["n1"]);
  const first = await agent("n1");
  const subscription = broker.subscribe(SERVICE, { ...ALL, streams: ["stdout"], follow: true });
  const read = reading(subscription);
  await first.push({ CaughtUp: true });
  await store.update((tx) => {
    tx.create("nodes", testNode("n2"));
    tx.create("tasks", testTask("later", "n1"));
    tx.create("tasks", testTask("elsewhere", "n2"));
    tx.create("tasks", { ...testTask("other", "n1"), ServiceID: "another" });
  });
  await settle();
  assert.deepEqual(first.asks[0]!.TaskIDs, ["t1", "later"]);
  const second = await agent("n2");
  assert.deepEqual(second.asks[0]!.TaskIDs, ["elsewhere"]);
  await second.push({ Entries: [entry("elsewhere", 9, "there")], CaughtUp: true });
  await first.push({
    Entries: [entry("later", 10, "", { Data: new Uint8Array(), Lost: 77 }), entry("other", 11, "x")],
  });
  await settle();
  assert.match(read.texts[0]!, /^covey: gap: node n2 is not available/);
  assert.deepEqual(read.texts.slice(1), [
    "there",
    "covey: gap: 77 bytes are missing here: the log was longer than what is kept",
  ]);
  await store.update((tx) => tx.delete("tasks", "elsewhere"));
  await settle();
  assert.deepEqual(second.asks, []);
  subscription.close();
});

Deno.test("Log broker: who does not read holds back the node, and nobody else", async () => {
  const { broker, agent } = await world(["n1"]);
  const first = await agent("n1");
  const slow = broker.subscribe(SERVICE, { ...ALL, follow: true });
  const quick = broker.subscribe(SERVICE, { ...ALL, follow: true });
  await settle();
  const [slowAsk, quickAsk] = first.asks.map(({ ID }) => ID);
  const read = reading(quick);
  let answered = 0;
  const send = (AskID: string, Seq: number) =>
    first.push({ AskID, Seq, Entries: [entry("t1", Seq, `${Seq}`)], CaughtUp: true }).then(() => answered++);
  await send(slowAsk!, 1);
  const held = send(slowAsk!, 2);
  await settle();
  assert.equal(answered, 1, "the second one waits until the first was read");
  for (let seq = 1; seq <= 5; seq++) await send(quickAsk!, seq);
  await settle();
  assert.deepEqual(read.texts, ["1", "2", "3", "4", "5"]);
  assert.deepEqual((await slow.next())!.map(textOf), ["1"]);
  await held;
  assert.deepEqual((await slow.next())!.map(textOf), ["2"]);
  const last = send(slowAsk!, 3).then(() => send(slowAsk!, 4));
  await settle();
  slow.close();
  await last;
  quick.close();
});

Deno.test("Log broker: a node that stays silent holds up the others for five seconds at most", async () => {
  const { broker, agent, clock } = await world(["n1", "n2"]);
  const [first] = [await agent("n1"), await agent("n2")];
  const subscription = broker.subscribe(SERVICE, { ...ALL, follow: true });
  const read = reading(subscription);
  await first.push({ Entries: [entry("t1", 1, "a1")], CaughtUp: true });
  await clock.advance(4_900);
  assert.deepEqual(read.texts, []);
  await clock.advance(200);
  assert.deepEqual(read.texts, ["a1"]);
  subscription.close();
});

Deno.test("Log broker: a node may send only logs of its own tasks, of the right form and size", async () => {
  const { broker, agent } = await world(["n1", "n2"]);
  const [first, second] = [await agent("n1"), await agent("n2")];
  const subscription = broker.subscribe(SERVICE, { ...ALL, follow: true });
  const read = reading(subscription);
  await settle();
  const refused = (push: object, code: string, pattern: RegExp) =>
    assert.rejects(first.push(push), (error: Error & { code: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, pattern);
      return true;
    });
  await refused(
    { Entries: [entry("t2", 1, "forged")] },
    "permission_denied",
    /task t2 is not assigned to node n1/,
  );
  const good = entry("t1", 1, "good"), bytes = (size: number) => new Uint8Array(size);
  for (
    const [wrong, pattern] of [
      [{ Time: "now" }, /Entries\[0\]\.Time/],
      [{ Time: "2026-02-31T00:00:00.000000000Z" }, /Time/],
      [{ Stream: "stdin" }, /Stream/],
      [{ Data: "text" }, /Data/],
      [{ Data: bytes(16 * 1024 + 1) }, /at most 16384/],
      [{ TaskID: "x".repeat(65) }, /TaskID/],
      [{ TaskID: "a\u001b[2Jb" }, /TaskID/],
      [{ Details: { "a\n": "b" } }, /Details/],
      [{ Details: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, "v"])) }, /more than 32/],
      [{ Lost: -1 }, /Lost/],
    ] as const
  ) await refused({ Entries: [{ ...good, ...wrong }] }, "invalid_argument", pattern);
  const many = Array.from({ length: 1001 }, () => good);
  await refused({ Entries: many }, "invalid_argument", /more than 1000/);
  const large = Array.from({ length: 5 }, () => ({ ...good, Data: bytes(16 * 1024) }));
  await refused({ Entries: large }, "invalid_argument", /at most 65536/);
  await refused({ Seq: 0 }, "invalid_argument", /Seq/);
  await refused({ CaughtUp: "yes" }, "invalid_argument", /CaughtUp/);
  await refused(
    { SessionID: second.session.last.SessionID },
    "invalid_argument",
    /not the node's present one/,
  );
  // An ask of another node is none of this one's.
  assert.deepEqual(await first.push({ AskID: "other" }), { Over: true });
  await settle();
  assert.deepEqual(read.texts, []);
  subscription.close();
});

Deno.test("Log broker: clients, asks of a node and pushes have their limits", async () => {
  const { broker, agent } = await world(["n1"]);
  const first = await agent("n1");
  const open = Array.from({ length: 16 }, () => broker.subscribe(SERVICE, { ...ALL, follow: true }));
  const more = broker.subscribe(SERVICE, ALL);
  await assert.rejects(more.next(), /reasons: Cannot ask node n1: 16 clients ask it for something already/);
  more.close();
  open.forEach((subscription) => subscription.close());
  await settle();
  assert.deepEqual(first.asks, []);
  const several = Array.from(
    { length: 32 },
    () => broker.subscribe({ taskID: "none" }, { ...ALL, follow: true }),
  );
  assert.throws(() => broker.subscribe(SERVICE, ALL), { code: "resource_exhausted", retryable: true });
  several.forEach((subscription) => subscription.close());
  const pushes = Array.from({ length: 1100 }, (_, i) => first.push({ AskID: "none", Seq: i + 1 }));
  const refused = (await Promise.allSettled(pushes)).filter(({ status }) => status === "rejected");
  assert.equal(refused.length, 100);
});
