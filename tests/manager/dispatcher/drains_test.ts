/** A task is stopped once every node that could send something new to it has loaded that it serves no more, or is not there. */
import assert from "node:assert/strict";
import { ASSIGNMENT_KINDS, LOADED_RULES, MAX_LOAD_MS } from "../../../api/dispatcher.ts";
import { CoveyError, hasCode } from "../../../api/errors.ts";
import { AssignmentHub } from "../../../manager/dispatcher/assignment_hub.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { DirectConnection, openSession, testDispatcher, testNode } from "./harness.ts";
import { Hub, network, node, service, task } from "./network_hub.ts";

const running = { Status: { Timestamp: "", State: "running", Message: "" } } as const;

/** Nodes n1 to n3 in net1, n4 in another network; tasks a and b run on n1. */
async function cluster(agents = ["n1", "n2", "n3", "n4"]): Promise<Hub> {
  const hub = new Hub();
  await hub.store.update((tx) => {
    for (const id of [1, 2]) tx.create("networks", network(`net${id}`, id));
    for (const id of [1, 2, 3]) tx.create("nodes", node(`n${id}`, id, ["net1"]));
    tx.create("nodes", node("n4", 4, ["net2"]));
    tx.create("services", service(["net1"]));
    tx.create("tasks", task("a", "n1", 10, ["net1"], running));
    tx.create("tasks", task("b", "n1", 11, ["net1"], running));
  });
  for (const id of agents) hub.agent(id, ASSIGNMENT_KINDS);
  await hub.sent();
  for (const id of agents) say(hub, id);
  for (const { asked } of hub.agents.values()) asked.length = 0;
  return hub;
}

/** A node says that it has loaded all that it was asked for. */
function say(hub: Hub, id: string): void {
  const index = hub.agents.get(id)!.asked.at(-1);
  if (index !== undefined) hub.hub.loaded(id, index);
}

async function stop(hub: Hub, id: string): Promise<void> {
  await hub.store.update((tx) => tx.update("tasks", { ...tx.get("tasks", id)!, DesiredState: "shutdown" }));
  await settle();
}

/** Whether the task may be stopped, once it may. */
function ask(hub: Hub, id: string, of: AssignmentHub = hub.hub): { may: boolean; done: Promise<void> } {
  const asked = { may: false, done: Promise.resolve() };
  asked.done = of.drained(hub.store.get("tasks", id)!).then(() => void (asked.may = true));
  return asked;
}

Deno.test("Drains: a task may be stopped when every node of its networks has loaded that it serves no more; no other is asked", async () => {
  await using hub = await cluster();
  await stop(hub, "a");
  const { index } = hub.store, asked = [...hub.agents.values()].map(({ asked }) => [...asked]);
  assert.deepEqual(asked, [[index], [index], [index], []]);
  const [first, second] = [ask(hub, "a"), ask(hub, "a")];
  for (const id of ["n1", "n3"]) say(hub, id);
  // What it loaded before says nothing.
  hub.hub.loaded("n2", index - 1);
  await hub.sent();
  assert.ok(!first.may && !second.may);
  say(hub, "n2");
  await Promise.all([first.done, second.done]);
  await ask(hub, "a").done;
  // A task that comes, or that ended by itself, is waited for by nobody.
  for (const { asked } of hub.agents.values()) asked.length = 0;
  await hub.store.update((tx) => {
    tx.create("tasks", task("c", "n2", 12, ["net1"], running));
    tx.update("tasks", { ...tx.get("tasks", "b")!, Status: { ...running.Status, State: "failed" } });
  });
  await hub.sent();
  assert.deepEqual([...hub.agents.values()].flatMap(({ asked }) => asked), []);
});

Deno.test("Drains: a task that nobody has told to stop is not waited for", async () => {
  await using hub = await cluster();
  await ask(hub, "a").done;
});

Deno.test("Drains: who goes down, is removed or leaves the network is waited for no more", async () => {
  await using hub = await cluster();
  await stop(hub, "a");
  const asked = ask(hub, "a");
  say(hub, "n1");
  await hub.store.update((tx) => {
    tx.update("nodes", { ...tx.get("nodes", "n2")!, Status: { State: "down", Addr: "" } });
  });
  await settle();
  assert.ok(!asked.may);
  await hub.store.update((tx) => {
    const { Attachments: _, ...rest } = tx.get("nodes", "n3")!;
    tx.update("nodes", rest);
  });
  await asked.done;
  await stop(hub, "b");
  const next = ask(hub, "b");
  await hub.store.update((tx) => tx.delete("nodes", "n2"));
  say(hub, "n1");
  await next.done;
});

Deno.test("Drains: a node that says nothing is waited for once and not for ever, until it says something", async () => {
  await using hub = await cluster(["n1", "n2"]);
  await stop(hub, "a");
  const asked = ask(hub, "a");
  for (const id of ["n1", "n2"]) say(hub, id);
  await hub.clock.advance(MAX_LOAD_MS - 2000);
  assert.ok(!asked.may, "n3 has no session, and is not known to be down");
  await hub.clock.advance(2000);
  await asked.done;
  await stop(hub, "b");
  const next = ask(hub, "b");
  for (const id of ["n1", "n2"]) say(hub, id);
  await next.done;
  await hub.store.update((tx) => tx.create("tasks", task("c", "n1", 12, ["net1"], running)));
  hub.agent("n3", ASSIGNMENT_KINDS);
  await hub.sent();
  say(hub, "n3");
  await stop(hub, "c");
  const last = ask(hub, "c");
  for (const id of ["n1", "n2"]) say(hub, id);
  await settle();
  assert.ok(!last.may, "it is there again");
  say(hub, "n3");
  await last.done;
});

Deno.test("Drains: who comes back says of everything at once that it has loaded it", async () => {
  await using hub = await cluster(["n1", "n2"]);
  await stop(hub, "a");
  const asked = ask(hub, "a");
  for (const id of ["n1", "n2"]) say(hub, id);
  hub.agent("n3", ASSIGNMENT_KINDS);
  await hub.sent();
  assert.ok(!asked.may, "it may still have the rules of before");
  say(hub, "n3");
  await asked.done;
});

Deno.test("Drains: an agent of an earlier version is told nothing of it, and not waited for", async () => {
  await using hub = await cluster(["n1", "n2"]);
  hub.agent("n3", ASSIGNMENT_KINDS.filter((kind) => kind !== LOADED_RULES));
  await hub.sent();
  await stop(hub, "a");
  const asked = ask(hub, "a");
  for (const id of ["n1", "n2"]) say(hub, id);
  await asked.done;
  assert.deepEqual(hub.agents.get("n3")!.asked, []);
});

Deno.test("Drains: the next leader waits until it has heard of all nodes itself", async () => {
  await using hub = await cluster();
  await stop(hub, "a");
  const asked = hub.hub.drained(hub.store.get("tasks", "a")!);
  hub.hub.stop(new CoveyError("unavailable", "this manager is not the leader"));
  await assert.rejects(asked, /not the leader/);
  const next = new AssignmentHub(hub.store, hub.clock);
  next.start();
  const again = ask(hub, "a", next),
    streams = ["n1", "n2", "n3"].map((id) => next.open(id, ASSIGNMENT_KINDS));
  await settle();
  assert.ok(!again.may);
  for (const [at, stream] of streams.entries()) {
    const messages = stream.messages(), { value } = await messages.next();
    assert.ok(value && value.Acknowledge);
    next.loaded(`n${at + 1}`, value.Index);
    stream.end();
    await messages.return();
  }
  await again.done;
});

Deno.test("Drains: a node hears nothing of another's tasks, and what it says wrongly is refused", async () => {
  const clock = new FakeClock(), { store } = testStore({ clock });
  const { dispatcher } = await testDispatcher(store, clock);
  await store.update((tx) => {
    tx.create("networks", network("net1", 1));
    tx.create("nodes", testNode("n1"));
    tx.create("nodes", node("n2", 2, ["net1"]));
    tx.create("tasks", task("a", "n2", 10, ["net1"], running));
    tx.update("tasks", { ...tx.get("tasks", "a")!, DesiredState: "shutdown" });
  });
  const connection = new DirectConnection(dispatcher.methods(), "n1"),
    session = await openSession(connection),
    { SessionID } = session.last;
  for (const TaskID of ["a", "unknown"]) await connection.call("dispatcher.drained", { SessionID, TaskID });
  for (const Index of [-1, 1.5, "1", Infinity, undefined]) {
    await assert.rejects(
      connection.call("dispatcher.loaded", { SessionID, Index }),
      (error) => hasCode(error, "invalid_argument"),
    );
  }
  await assert.rejects(
    connection.call("dispatcher.drained", { SessionID, TaskID: "x".repeat(65) }),
    (error) => hasCode(error, "invalid_argument"),
  );
  await connection.call("dispatcher.loaded", { SessionID, Index: Number.MAX_SAFE_INTEGER });
  connection.close();
  await session.done;
  await dispatcher.stop();
});
