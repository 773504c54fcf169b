import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { hasCode } from "../../../../api/errors.ts";
import { RAFT_METHODS } from "../../../../api/raft.ts";
import { identityOf } from "../../../support/transport.ts";
import { service } from "../../store/objects.ts";
import { MemoryQuorum, withThree } from "./memory_quorum.ts";

/** Commits of a leader that cover a few entries and a checkpoint with what it deletes. */
const CRASHES = 16;

const others = (leader: string) => ["m1", "m2", "m3"].filter((id) => id !== leader);

Deno.test("Quorum: a write at the leader reaches everybody, and everybody knows who leads and where", () =>
  withThree(async (quorum) => {
    await quorum.write("a");
    await quorum.agree("a");
    for (const { member } of quorum.running.values()) {
      const { leaderNodeID, members } = member.status();
      strictEqual(leaderNodeID, "m1");
      deepStrictEqual(
        members.map(({ nodeID, address, learner, reachable }) => [nodeID, address, learner, reachable]),
        [
          ...members.map(({ nodeID }) => [nodeID, `${nodeID}:2377`, false, true]),
        ],
      );
      deepStrictEqual(members.map(({ nodeID }) => nodeID).sort(), ["m1", "m2", "m3"]);
    }
    const follower = quorum.running.get("m2")!;
    await rejects(follower.member.propose(new Uint8Array(1)), (e) => hasCode(e, "unavailable"));
  }));

Deno.test("Quorum: another takes over from a dead leader within two seconds, and the old one follows when it returns", () =>
  withThree(async (quorum) => {
    await quorum.write("before");
    await quorum.kill("m1");
    const ms = await quorum.until("somebody leads", () => quorum.leader !== undefined);
    ok(ms <= 2000, `${ms} ms`);
    await quorum.write("after");
    await quorum.start("m1");
    await quorum.agree("after", "before");
    strictEqual(quorum.running.get("m1")!.member.status().isLeader, false);
  }));

Deno.test("Quorum: all restart from their disks with everything that was acknowledged", () =>
  withThree(async (quorum) => {
    for (const name of ["a", "b", "c"]) await quorum.write(name);
    for (const id of ["m1", "m2", "m3"]) await quorum.kill(id);
    for (const id of ["m1", "m2", "m3"]) await quorum.start(id);
    await quorum.write("d");
    await quorum.agree("a", "b", "c", "d");
  }));

Deno.test("Quorum: a write of a leader that is cut off has an unknown outcome, and reads are refused", () =>
  withThree(async (quorum) => {
    const { member, store } = quorum.running.get("m1")!;
    for (const id of others("m1")) quorum.network.setLink("m1", id, "cut");
    const lost = store.update((tx) => tx.create("services", service("lost")));
    const read = member.readBarrier();
    await Promise.all([
      rejects(quorum.settle(lost), (e) => hasCode(e, "unknown")),
      rejects(read, (e) => hasCode(e, "unavailable")),
    ]);
    strictEqual(member.status().leaderNodeID, undefined);
    await quorum.write("kept");
    for (const id of others("m1")) quorum.network.setLink("m1", id, "up");
    await quorum.agree("kept");
  }));

Deno.test("Quorum: a follower's read waits for everything acknowledged before it", () =>
  withThree(async (quorum) => {
    quorum.network.setPath("m1", "m2", "stalled");
    await quorum.write("a");
    const { member } = quorum.running.get("m2")!;
    const before = member.readBarrier();
    quorum.network.setPath("m1", "m2", "up");
    await quorum.settle(before);
    deepStrictEqual(quorum.names("m2"), ["a"]);
  }));

Deno.test("Quorum: who is far behind gets a snapshot while writes go on", () =>
  withThree(async (quorum) => {
    await quorum.kill("m3");
    await quorum.forget();
    const data = "x".repeat(50_000);
    const names = Array.from({ length: 700 }, (_, n) => `s${n}`);
    const { store } = quorum.running.get(await quorum.elect())!;
    await quorum.settle(
      store.batch(names, (tx, name) => tx.create("services", service(name, name, { data }))),
    );
    for (const name of ["x", "y", "z"]) await quorum.write(name);
    await quorum.start("m3", { checkpointEntries: 20 });
    for (const name of ["late1", "late2"]) await quorum.write(name);
    await quorum.agree(...names, "x", "y", "z", "late1", "late2");
    await quorum.kill("m3");
    await quorum.start("m3", { checkpointEntries: 20 });
    await quorum.agree(...names, "x", "y", "z", "late1", "late2");
  }, { checkpointEntries: 20 }));

Deno.test("Quorum: without work nobody writes to disk", () =>
  withThree(async (quorum) => {
    await quorum.write("a");
    await quorum.agree("a");
    await quorum.clock.advance(2_000);
    const commits = () => [...quorum.disks.values()].map((disk) => disk.commits);
    const before = commits();
    await quorum.clock.advance(60_000);
    deepStrictEqual(commits(), before);
  }));

Deno.test("Quorum: a removed member stops, also one that was away when it happened", () =>
  withThree(async (quorum) => {
    const leader = quorum.running.get("m1")!.member;
    const { removed } = quorum.running.get("m2")!.member;
    await quorum.settle(leader.removeNode("m2"));
    ok(hasCode(await quorum.settle(removed), "failed_precondition"));
    await quorum.kill("m2");
    await quorum.join("m4");
    await quorum.kill("m3");
    await quorum.settle(leader.removeNode("m3"));
    const back = await quorum.start("m3");
    ok(hasCode(await quorum.settle(back.member.removed), "failed_precondition"));
    await rejects(
      quorum.settle(back.member.join(["m1:2377"])),
      (e) => hasCode(e, "failed_precondition", "unavailable"),
    );
    deepStrictEqual(leader.status().members.map(({ nodeID }) => nodeID).sort(), ["m1", "m4"]);
  }));

Deno.test("Quorum: a removal that the rest could not survive is refused", () =>
  withThree(async (quorum) => {
    await quorum.kill("m3");
    await quorum.clock.advance(1_500);
    const { member } = quorum.running.get("m1")!;
    await rejects(quorum.settle(member.removeNode("m2")), (e) => hasCode(e, "failed_precondition"));
    await quorum.settle(member.removeNode("m3"));
    await quorum.settle(member.removeNode("m2"));
    await rejects(quorum.settle(member.removeNode("m1")), (e) => hasCode(e, "failed_precondition"));
    await quorum.write("alone");
  }));

Deno.test("Quorum: the leader that leaves hands over first, and every member can leave", () =>
  withThree(async (quorum) => {
    for (const id of ["m1", "m2"]) {
      const { member } = quorum.running.get(id)!;
      await quorum.settle(member.leave());
      await quorum.kill(id);
      await quorum.write(`without ${id}`);
    }
    strictEqual(quorum.leader, "m3");
    deepStrictEqual(quorum.running.get("m3")!.member.status().members.length, 1);
  }));

Deno.test("Quorum: a manager that lost its disk replaces its old self", () =>
  withThree(async (quorum) => {
    await quorum.write("a");
    await quorum.kill("m2");
    quorum.disks.delete("m2");
    await quorum.join("m2");
    await quorum.agree("a");
    const { members } = quorum.running.get("m1")!.member.status();
    deepStrictEqual(members.map(({ nodeID }) => nodeID).sort(), ["m1", "m2", "m3"]);
  }));

Deno.test("Quorum: a member that moved is found at its new address", () =>
  withThree(async (quorum) => {
    await quorum.kill("m2");
    await quorum.start("m2", { address: "m2:9999" });
    const seen = () =>
      quorum.running.get("m3")!.member.status().members.find(({ nodeID }) => nodeID === "m2");
    await quorum.until("m3 knows", () => seen()?.address === "m2:9999");
    await quorum.kill("m3");
    await quorum.write("through the new address");
    deepStrictEqual(quorum.names("m2").length <= 1, true);
    await quorum.agree("through the new address");
  }));

Deno.test("Quorum: a survivor goes on alone by force, with everything, and the others are told that they are out", () =>
  withThree(async (quorum) => {
    await quorum.write("a");
    await quorum.agree("a");
    for (const id of ["m1", "m2", "m3"]) await quorum.kill(id);
    const { member } = await quorum.start("m2", { forceNewCluster: true });
    ok(member.status().isLeader);
    await quorum.write("b");
    deepStrictEqual(quorum.names("m2"), ["a", "b"]);
    const back = await quorum.start("m3");
    ok(hasCode(await quorum.settle(back.member.removed), "failed_precondition"));
  }));

Deno.test("Quorum: nobody speaks for another: member IDs and node IDs must fit the certificate", () =>
  withThree(async (quorum) => {
    const { network, clock } = quorum;
    const members = quorum.running.get("m1")!.member.status().members;
    const idOf = (id: string) => members.find(({ nodeID }) => nodeID === id)!.memberID;
    const identity = () => identityOf("m2", "swarm-manager");
    const connection = await quorum.settle(network.dialer({ host: "m2", identity, clock }).dial("m1:2377"));
    const refused = (call: Promise<unknown>) =>
      rejects(quorum.settle(call), (e) => hasCode(e, "permission_denied"));
    const hello = { From: idOf("m3"), To: idOf("m1"), Addr: "m2:2377" };
    await refused(connection.clientStream(RAFT_METHODS.messages, items(hello)));
    await refused(connection.clientStream(RAFT_METHODS.snapshot, items(hello)));
    const forged = { type: "timeout_now", from: idOf("m3"), to: idOf("m1"), term: 1 };
    const own = { ...hello, From: idOf("m2") };
    await refused(connection.clientStream(RAFT_METHODS.messages, items(own, { Messages: [forged] })));
    await refused(connection.call(RAFT_METHODS.leave, { NodeID: "m3" }));
    await refused(connection.call(RAFT_METHODS.join, { NodeID: "m3", MemberID: 5, Addr: "m2:2377" }));
    await rejects(
      quorum.settle(
        connection.clientStream(RAFT_METHODS.messages, items(own, { Messages: [{ type: "?" }] })),
      ),
      (e) => hasCode(e, "invalid_argument"),
    );
    connection.close();
    await quorum.write("unharmed");
  }));

async function* items(...values: unknown[]): AsyncGenerator<unknown> {
  yield* values;
}

Deno.test("Quorum: a manager that does not answer at its address is not added", async () => {
  const quorum = new MemoryQuorum();
  await quorum.start("m1");
  const { member, listener } = await quorum.start("m2");
  await listener.close();
  await rejects(
    quorum.settle(member.join(["m1:2377"])),
    (e) => hasCode(e, "failed_precondition") && e.message.includes("m2:2377"),
  );
  strictEqual(quorum.running.get("m1")!.member.status().members.length, 1);
  await quorum.close();
});

Deno.test("Quorum: a member whose disk fails stops; the others go on, and it catches up after a restart", async () => {
  for (let left = 0; left < CRASHES; left++) {
    const quorum = await MemoryQuorum.ofThree({ checkpointEntries: 5 }, left + 1);
    const disk = quorum.disks.get("m1")!;
    disk.left = left;
    const acknowledged: string[] = [];
    let isOver = false;
    const failure = quorum.running.get("m1")!.member.failed.finally(() => isOver = true);
    for (let n = 0; !isOver; n++) {
      await quorum.write(`s${n}`).then(() => acknowledged.push(`s${n}`), () => {});
    }
    ok(hasCode(await failure, "data_loss"));
    await quorum.kill("m1");
    disk.left = Infinity;
    await quorum.start("m1", { checkpointEntries: 5 });
    await quorum.write("last");
    await quorum.until(
      "all agree",
      () => new Set(["m1", "m2", "m3"].map((id) => quorum.names(id).join())).size === 1,
    );
    const names = quorum.names("m1");
    for (const name of acknowledged) ok(names.includes(name), `${name} after ${left} commits`);
    await quorum.close();
  }
});

Deno.test("Quorum: a follower that crashes while it installs a snapshot gets it again", async () => {
  for (let left = 1; left < CRASHES; left += 3) {
    const quorum = await MemoryQuorum.ofThree({ checkpointEntries: 5 }, left);
    await quorum.kill("m3");
    await quorum.forget();
    const data = "x".repeat(900_000);
    const names = Array.from({ length: 8 }, (_, n) => `s${n}`);
    for (const name of names) await quorum.write(name, { data });
    const disk = quorum.disks.get("m3")!;
    disk.left = left;
    const { member } = await quorum.start("m3", { checkpointEntries: 5 });
    ok(hasCode(await quorum.settle(member.failed), "data_loss"));
    await quorum.kill("m3");
    disk.left = Infinity;
    await quorum.start("m3", { checkpointEntries: 5 });
    await quorum.agree(...names);
    await quorum.close();
  }
});

Deno.test("Quorum: a learner that is removed while it is cut off learns of it (simulation seed 84)", async () => {
  const quorum = new MemoryQuorum();
  const { member: leader } = await quorum.start("m1");
  const { member } = await quorum.start("m2");
  const joined = member.join(["m1:2377"]);
  joined.catch(() => {});
  while (!leader.status().members.some(({ learner }) => learner)) await quorum.clock.advance(1);
  quorum.network.setLink("m1", "m2", "cut");
  await quorum.settle(leader.removeNode("m2"));
  quorum.network.setLink("m1", "m2", "up");
  await rejects(quorum.settle(joined), /was removed, and never comes back/);
  await quorum.close();
});

for (
  const [name, m1, m2] of [
    [
      "Quorum: a removed member learns of it though all it knew came back as new ones (seed 21478)",
      "m1",
      "m2",
    ],
    ["Quorum: a removed member learns of it from the nodes that took the place of all it knew", "m5", "m6"],
  ] as const
) {
  Deno.test(name, () =>
    withThree(async (quorum) => {
      await quorum.kill("m3");
      await quorum.settle(quorum.running.get("m1")!.member.removeNode("m3"));
      await quorum.join("m4");
      for (const [old, successor] of [["m1", m1], ["m2", m2]] as const) {
        await quorum.kill(old);
        await quorum.settle(quorum.running.get(await quorum.elect())!.member.removeNode(old));
        quorum.disks.delete(old);
        await quorum.join(successor, { address: `${old}:2377`, join: true });
      }
      const { member } = await quorum.start("m3");
      ok(hasCode(await quorum.settle(member.removed), "failed_precondition"));
    }));
}

Deno.test("Quorum: a leader that removed itself stays until the other one knows, whenever that one's power goes (seed 24335)", async () => {
  for (let left = 0; left < 6; left++) {
    const quorum = new MemoryQuorum();
    await quorum.start("m1");
    const { member } = await quorum.join("m2");
    // The leader proposes it and hears nothing of the other one's having it, which then leads and commits it.
    quorum.network.setPath("m2", "m1", "stalled");
    quorum.running.get("m1")!.member.removeNode("m2").catch(() => {});
    await quorum.clock.advance(20);
    await quorum.kill("m1");
    quorum.network.setPath("m2", "m1", "up");
    await quorum.start("m1");
    quorum.disks.get("m1")!.left = left;
    await quorum.clock.advance(3_000);
    await quorum.kill("m1");
    quorum.disks.get("m1")!.left = Infinity;
    await quorum.start("m1");
    await quorum.until("m1 leads", () => quorum.leader === "m1");
    ok(hasCode(await quorum.settle(member.removed), "failed_precondition"));
    await quorum.close();
  }
});
