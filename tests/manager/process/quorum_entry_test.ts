/** A manager that is cut off while it joins: either nothing of it is left, or it stays and gets in. */
import assert from "node:assert/strict";
import type { Node } from "../../../api/node.ts";
import { enterQuorum, keepEntering } from "../../../manager/process/quorum_entry.ts";
import { MemoryQuorum } from "../consensus/member/memory_quorum.ts";

const never = new AbortController().signal;

function nodeOf(ID: string, more: Partial<Node> = {}): Node {
  return {
    ID,
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: { Name: "", Labels: {}, Role: "manager", Availability: "active" },
    Role: "manager",
    Status: { State: "unknown", Addr: "" },
    ...more,
  };
}

/** One manager, and a second that runs, has a node object and is in no quorum yet. */
async function withEntrant(
  test: (quorum: MemoryQuorum, entrant: { member: Parameters<typeof enterQuorum>[0] }) => Promise<void>,
  node: Partial<Node> = {},
): Promise<void> {
  const quorum = new MemoryQuorum();
  await quorum.start("m1");
  const { store } = quorum.running.get("m1")!;
  await quorum.settle(store.update((tx) => tx.create("nodes", nodeOf("m2", node))));
  const entrant = await quorum.start("m2", { joinTimeoutMs: 5_000 });
  await test(quorum, entrant);
  await quorum.close();
}

/** Virtual milliseconds may be many: a join gives up after minutes. */
async function patiently<T>(quorum: MemoryQuorum, work: Promise<T>): Promise<T> {
  let done = false;
  const finished = work.finally(() => done = true);
  finished.catch(() => {});
  for (let waited = 0; !done && waited < 600_000; waited += 50) await quorum.clock.advance(50);
  return await finished;
}

const membersOf = (quorum: MemoryQuorum) =>
  quorum.running.get("m1")!.member.status().members.map(({ nodeID }) => nodeID).sort().join();

/** Calls `then` in the very turn in which the leader has m2 as `stage`. */
function as(quorum: MemoryQuorum, stage: "learner" | "voter", then: () => void): void {
  const unsubscribe = quorum.running.get("m1")!.member.subscribe(({ members }) => {
    const found = members.find(({ nodeID }) => nodeID === "m2");
    if (found?.learner !== (stage === "learner")) return;
    unsubscribe();
    then();
  });
}

Deno.test("Quorum entry: a manager that gets in votes, and its node stays", () =>
  withEntrant(async (quorum, { member }) => {
    const entry = await patiently(quorum, enterQuorum(member, ["m1:2377"], never));
    assert.deepEqual([entry.is, member.isVoter], ["in", true]);
    assert.notEqual(quorum.running.get("m1")!.store.get("nodes", "m2"), undefined);
  }));

Deno.test("Quorum entry: one that hears nothing of the leader any more leaves, and the rest goes on alone", () =>
  withEntrant(async (quorum, { member }) => {
    // Its own calls are answered; others cannot open any towards it.
    as(quorum, "learner", () => {
      void quorum.running.get("m2")!.listener.close();
      quorum.network.resetHost("m2");
    });
    const entry = await patiently(quorum, enterQuorum(member, ["m1:2377"], never));
    assert.equal(entry.is, "out");
    assert.equal(membersOf(quorum), "m1");
    assert.equal(quorum.running.get("m1")!.store.get("nodes", "m2"), undefined);
    await quorum.write("alone");
  }));

Deno.test("Quorum entry: one that cannot reach anybody keeps its vote, and is in once it can", () =>
  withEntrant(async (quorum, { member }) => {
    as(quorum, "voter", () => quorum.network.setLink("m1", "m2", "cut"));
    const entry = await patiently(quorum, enterQuorum(member, ["m1:2377"], never));
    assert.deepEqual([entry.is, membersOf(quorum), quorum.leader], ["open", "m1,m2", undefined]);
    const failures: string[] = [];
    const going = keepEntering(member, ["m1:2377"], {
      clock: quorum.clock,
      signal: never,
      onFailure: (why) => failures.push(why),
    });
    await quorum.until("it says why it waits", () => failures.length > 0);
    quorum.network.setLink("m1", "m2", "up");
    await patiently(quorum, going);
    await quorum.write("together");
    await quorum.agree("together");
  }));

Deno.test("Quorum entry: one that is refused leaves no node behind, but one that has had a session stays", async () => {
  const description = { Hostname: "m2" } as Node["Description"];
  for (const node of [{}, { Description: description! }]) {
    await withEntrant(async (quorum, { member }) => {
      // The leader dials back before it adds anybody.
      void quorum.running.get("m2")!.listener.close();
      const entry = await patiently(quorum, enterQuorum(member, ["m1:2377"], never));
      assert.equal(entry.is, "out");
      assert.match((entry as { failure: Error }).failure.message, /does not answer at m2:2377/);
      const left = quorum.running.get("m1")!.store.get("nodes", "m2");
      assert.equal(left !== undefined, "Description" in node);
    }, node);
  }
});

Deno.test("Quorum entry: one that is stopped while it waits withdraws nothing", () =>
  withEntrant(async (quorum, { member }) => {
    quorum.network.setLink("m1", "m2", "cut");
    const abort = new AbortController();
    const entering = enterQuorum(member, ["m1:2377"], abort.signal);
    await quorum.clock.advance(5_000);
    abort.abort();
    await assert.rejects(quorum.settle(entering));
    quorum.network.setLink("m1", "m2", "up");
    await quorum.clock.advance(30_000);
    assert.notEqual(quorum.running.get("m1")!.store.get("nodes", "m2"), undefined);
  }));
