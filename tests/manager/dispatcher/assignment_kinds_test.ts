/** Secrets and configs among the assignments of a node: before their first user, behind their last, and never more. */
import assert from "node:assert/strict";
import type { AssignmentChange, AssignmentsMessage } from "../../../api/dispatcher.ts";
import { ASSIGNMENT_KINDS } from "../../../api/dispatcher.ts";
import type { Config, Seal, Secret } from "../../../api/dependency.ts";
import type { TaskState } from "../../../api/task_state.ts";
import type { Task } from "../../../api/task.ts";
import { AssignmentSet } from "../../../manager/dispatcher/assignment_set.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { DirectConnection, openSession, Reader, testDispatcher, testNode, testTask } from "./harness.ts";

const FILE = { Name: "f", UID: "0", GID: "0", Mode: 0o444 };
const META = { Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
const payload = (ID: string, Data = "YQ=="): Secret & Config => ({
  ...META,
  ID,
  Spec: { Name: ID, Labels: {}, Data },
});

function task(ID: string, needs: string[], change: Partial<Task> & { State?: TaskState } = {}): Task {
  const Secrets = needs.filter((each) => each.startsWith("s"))
    .map((id) => ({ SecretID: id, SecretName: id, File: { ...FILE, Name: id } }));
  const Configs = needs.filter((each) => each.startsWith("c"))
    .map((id) => ({ ConfigID: id, ConfigName: id, File: { ...FILE, Name: id } }));
  const Spec = { ProcessSpec: { Command: "sleep", Secrets, Configs }, ForceUpdate: 0, Runtime: "process" };
  return testTask(ID, "n1", { Spec, ...change });
}

const names = (changes: readonly AssignmentChange[]) =>
  changes.map((change) => {
    const id = change.Action === "remove"
      ? change.ID
      : change.Kind === "task"
      ? change.Task.ID
      : "Payload" in change
      ? change.Payload.ID
      : "";
    return `${change.Action} ${change.Kind} ${id}`;
  });

const NO_NETWORKS = {
  network: () => undefined,
  peers: () => [],
  peer: () => undefined,
  services: () => [],
  service: () => undefined,
};
const found = new Map(["s1", "s2", "c1"].map((id) => [id, payload(id)]));
const seals = new Map<string, Seal>();
const setOf = (tasks: Task[], kinds: readonly string[] = ASSIGNMENT_KINDS) =>
  new AssignmentSet(tasks, {
    ...NO_NETWORKS,
    kinds,
    find: (_, id) => found.get(id),
    seal: (id) => seals.get(id),
  });
const taken = (set: AssignmentSet) => names(set.take(100));

Deno.test("Assignments: a secret shared by two tasks is sent once, before them, and removed behind the last (82)", () => {
  const set = setOf([task("a", ["s1", "c1"]), task("b", ["s1"])]);
  assert.deepEqual(taken(set), ["update secret s1", "update config c1", "update task a", "update task b"]);
  set.remove("a");
  assert.deepEqual(taken(set), ["remove task a", "remove config c1"]);
  set.update(task("c", ["s1", "s2"]));
  assert.deepEqual(taken(set), ["update secret s2", "update task c"]);
  set.remove("b");
  set.remove("c");
  assert.deepEqual(taken(set), ["remove task b", "remove task c", "remove secret s1", "remove secret s2"]);
});

Deno.test("Assignments: a task that has ended needs its secrets no more, and one that is shut down still does", () => {
  const set = setOf([task("a", ["s1"])]);
  taken(set);
  set.update(task("a", ["s1"], { State: "running", DesiredState: "shutdown" }));
  assert.deepEqual(taken(set), ["update task a"]);
  set.update(task("a", ["s1"], { State: "shutdown", DesiredState: "shutdown" }));
  assert.deepEqual(taken(set), ["remove secret s1"]);
  assert.deepEqual(taken(setOf([task("a", ["s1"], { State: "failed" })])), ["update task a"]);
});

Deno.test("Assignments: a running task that gets another version gets it before it is told, and loses the old one after", () => {
  const set = setOf([task("a", ["s1", "c1"]), task("b", ["s1"])]);
  taken(set);
  set.update(task("a", ["s2", "c1"]));
  assert.deepEqual(taken(set), ["update secret s2", "update task a"]);
  set.update(task("b", ["s2"]));
  assert.deepEqual(taken(set), ["update task b", "remove secret s1"]);
  set.remove("a");
  assert.deepEqual(taken(set), ["remove task a", "remove config c1"]);
});

Deno.test("Assignments: what goes and comes within one message comes before its task (80)", () => {
  const set = setOf([task("a", ["s1"])]);
  taken(set);
  set.remove("a");
  set.update(task("b", ["s1"]));
  assert.deepEqual(taken(set), ["remove task a", "update secret s1", "update task b"]);
  set.update(task("c", ["s2"]));
  set.remove("c");
  assert.deepEqual(taken(set), ["remove task c", "remove secret s2"]);
});

Deno.test("Assignments: what the store has no more is left out, and so is a kind that the agent does not know", () => {
  assert.deepEqual(taken(setOf([task("a", ["s1", "s9"])])), ["update secret s1", "update task a"]);
  assert.deepEqual(taken(setOf([task("a", ["s1", "c1"])], ["task", "config"])), [
    "update config c1",
    "update task a",
  ]);
  assert.deepEqual(taken(setOf([task("a", ["s1", "c1"])], [])), ["update task a"]);
});

Deno.test("Assignments: a sealed secret goes with what opens it on the node, and to no agent that would take it for open", () => {
  const Sealed = { ID: "seal1", Labels: { a: "b" } };
  const secret = { ...payload("sealed"), Spec: { ...payload("sealed").Spec, Sealed } };
  const seal: Seal = {
    ...META,
    ID: "x",
    SecretID: "sealed",
    NodeID: "n1",
    SealID: "seal1",
    PublicKeyDigest: "d",
    Wrapped: "w",
  };
  let seals: Seal | undefined;
  const set = (kinds: readonly string[]) =>
    new AssignmentSet([task("a", ["sealed"])], {
      ...NO_NETWORKS,
      kinds,
      find: () => secret,
      seal: () => seals,
    });
  const told = (set: AssignmentSet) =>
    set.take(100).flatMap((change) =>
      change.Action === "update" && "Payload" in change ? [change.Payload.Sealed] : []
    );
  assert.deepEqual(told(set(["task", "secret", "config"])), []);
  const known = set(ASSIGNMENT_KINDS);
  assert.deepEqual(told(known), [{ ID: "seal1" }]);
  known.refresh({ Kind: "secret", ID: "other" });
  assert.equal(known.pending, 0);
  seals = seal;
  known.refresh({ Kind: "secret", ID: "sealed" });
  assert.deepEqual(told(known), [{ ID: "seal1", PublicKeyDigest: "d", Wrapped: "w" }]);
  seals = { ...seal, SealID: "earlier" };
  known.refresh({ Kind: "secret", ID: "sealed" });
  assert.deepEqual(told(known), [{ ID: "seal1" }]);
});

Deno.test("Assignments: configs of the largest size come one message each, which a frame holds", () => {
  const Data = new Uint8Array(1000 * 1024 - 1).toBase64();
  const big = ["c1", "c2", "c3"].map((id) => payload(id, Data));
  const set = new AssignmentSet([task("a", ["c1", "c2", "c3"])], {
    ...NO_NETWORKS,
    kinds: ASSIGNMENT_KINDS,
    find: (_, id) => big.find(({ ID }) => ID === id),
    seal: () => undefined,
  });
  const messages: string[][] = [];
  while (set.pending > 0) {
    const changes = set.take(100);
    assert.ok(JSON.stringify(changes).length < 4 * 1024 * 1024);
    messages.push(names(changes));
  }
  assert.deepEqual(messages, [["update config c1"], ["update config c2"], [
    "update config c3",
    "update task a",
  ]]);
});

Deno.test("Dispatcher: a node is told of the secrets that its own tasks reference, and of no others", async () => {
  const clock = new FakeClock(), { store } = testStore({ clock });
  await store.update((tx) => {
    for (const id of ["n1", "n2"]) tx.create("nodes", testNode(id));
    for (const id of ["s1", "s2"]) tx.create("secrets", payload(id));
    tx.create("configs", payload("c1"));
    tx.create("tasks", task("a", ["s1"]));
    tx.create("tasks", task("waits", ["s2"], { State: "pending" }));
    tx.create("tasks", { ...task("b", ["s2", "c1"]), NodeID: "n2" });
  });
  const { dispatcher } = await testDispatcher(store, clock);
  const connection = new DirectConnection(dispatcher.methods(), "n1");
  const session = await openSession(connection);
  const follow = async (request: object) => {
    const reader = new Reader(
      connection.serverStream<AssignmentsMessage>("dispatcher.assignments", {
        SessionID: session.last.SessionID,
        ...request,
      }),
    );
    await settle();
    return reader;
  };
  const older = await follow({});
  assert.deepEqual(
    names(older.last.Changes),
    ["update task a"],
    "an agent that names no kinds knows only tasks",
  );
  const reader = await follow({ Kinds: ASSIGNMENT_KINDS });
  assert.deepEqual(names(reader.last.Changes), ["update secret s1", "update task a"]);
  await store.update((tx) => {
    const secret = tx.get("secrets", "s1")!;
    tx.update("secrets", { ...secret, Spec: { ...secret.Spec, Labels: { a: "b" } } });
    tx.delete("tasks", "a");
  });
  await clock.advance(200);
  assert.deepEqual(names(reader.last.Changes), ["remove task a", "remove secret s1"]);
  const text = JSON.stringify([older.messages, reader.messages]);
  assert.ok(!text.includes("s2") && !text.includes("c1"));
  const wrong = await follow({ Kinds: "all" });
  assert.equal((wrong.error as { code: string }).code, "invalid_argument");
  await dispatcher.stop();
  await session.done;
});
