/** What the spec says of Raft reaches every running member, at once and after a restart. */
import assert from "node:assert/strict";
import { readBackup } from "../../../api/backup.ts";
import type { ClusterSpec } from "../../../api/cluster.ts";
import { systemRandom } from "../../../api/random.ts";
import { snapshotFrames } from "../../../manager/backup/mod.ts";
import { defaultClusterSpec, newCluster } from "../../../manager/cluster/new_cluster.ts";
import { followRaftSettings, raftTiming } from "../../../manager/server/raft_settings.ts";
import { DEFAULT_RAFT_CONFIG } from "../../../manager/raft/mod.ts";
import { MemoryQuorum } from "../consensus/member/memory_quorum.ts";
import { service } from "../store/objects.ts";

const TICK_MS = 100;
/** How late a test may look. */
const STEP_MS = 50;

function follow(quorum: MemoryQuorum, id: string): void {
  const { member, store } = quorum.running.get(id)!;
  followRaftSettings(member, store);
}

/** Three members of a cluster with Docker's defaults. */
async function withCluster(test: (quorum: MemoryQuorum) => Promise<void>): Promise<void> {
  const quorum = await MemoryQuorum.ofThree();
  const { store } = quorum.running.get(await quorum.elect())!;
  const cluster = await newCluster("c1", {}, { clock: quorum.clock, random: systemRandom });
  await quorum.settle(store.update((tx) => tx.create("clusters", cluster)));
  for (const id of quorum.running.keys()) follow(quorum, id);
  await test(quorum);
  await quorum.close();
}

async function setRaft(quorum: MemoryQuorum, raft: Partial<ClusterSpec["Raft"]>): Promise<void> {
  const { store } = quorum.running.get(await quorum.elect())!;
  await quorum.settle(store.update((tx) => {
    const cluster = tx.all("clusters")[0]!;
    tx.update("clusters", {
      ...cluster,
      Spec: { ...cluster.Spec, Raft: { ...cluster.Spec.Raft, ...raft } },
    });
  }));
}

/** The leader is no longer heard; how many milliseconds until another leads. */
async function failOver(quorum: MemoryQuorum): Promise<number> {
  const silent = await quorum.elect();
  const others = [...quorum.running.keys()].filter((id) => id !== silent);
  for (const id of others) quorum.network.setLink(silent, id, "stalled");
  const leads = (id: string) => quorum.running.get(id)!.member.status().isLeader;
  const took = await quorum.until("there is another leader", () => others.some(leads));
  for (const id of others) quorum.network.setLink(silent, id, "up");
  return took;
}

Deno.test("Raft timing: Docker's defaults are the core's own", () => {
  const { electionTicks, heartbeatTicks } = DEFAULT_RAFT_CONFIG;
  assert.deepEqual(raftTiming(defaultClusterSpec().Raft), { electionTicks, heartbeatTicks });
});

Deno.test("Raft timing: a change is obeyed at once by all, without an election", () =>
  withCluster(async (quorum) => {
    const term = () => quorum.running.get("m2")!.member.status().term;
    const before = term();
    await setRaft(quorum, { ElectionTick: 60, HeartbeatTick: 10 });
    await quorum.clock.advance(20_000);
    assert.equal(term(), before, "slower heartbeats are not taken for silence");
    const took = await failOver(quorum);
    assert.ok(took >= (30 - 10) * TICK_MS - STEP_MS, `somebody stood for election after ${took} ms`);
    assert.ok(took <= 2 * 60 * TICK_MS, `nobody led for ${took} ms`);
  }));

Deno.test("Raft timing: faster again after slower, the others do not wait for the old time", () =>
  withCluster(async (quorum) => {
    await setRaft(quorum, { ElectionTick: 600 });
    await quorum.clock.advance(1_000);
    await setRaft(quorum, { ElectionTick: 10 });
    await quorum.clock.advance(1_000);
    const took = await failOver(quorum);
    assert.ok(took <= 30 * TICK_MS, `nobody led for ${took} ms`);
  }));

Deno.test("Raft timing: it survives a restart of everybody", () =>
  withCluster(async (quorum) => {
    await setRaft(quorum, { ElectionTick: 60 });
    await quorum.clock.advance(1_000);
    const all = [...quorum.running.keys()];
    for (const id of all) await quorum.kill(id);
    for (const id of all) {
      await quorum.start(id);
      follow(quorum, id);
    }
    const took = await failOver(quorum);
    assert.ok(took >= 29 * TICK_MS - STEP_MS, `somebody stood for election after ${took} ms`);
  }));

Deno.test("Raft timing: what does not fit together is mended, what is out of all reason bounded", () => {
  const raft = { ...defaultClusterSpec().Raft, ElectionTick: 12, HeartbeatTick: 10 };
  assert.deepEqual(raftTiming(raft), { electionTicks: 11, heartbeatTicks: 10 });
  const ofTicks = (ElectionTick: number, HeartbeatTick: number) =>
    raftTiming({ ...raft, ElectionTick, HeartbeatTick });
  assert.deepEqual(ofTicks(3, 5), { electionTicks: 6, heartbeatTicks: 5 });
  assert.deepEqual(ofTicks(2 ** 32 - 1, 1), { electionTicks: 300, heartbeatTicks: 1 });
  assert.deepEqual(ofTicks(1, 2 ** 32 - 1), { electionTicks: 300, heartbeatTicks: 299 });
});

/** Entries in the log after 60 writes by one member with these settings. */
async function logAfterWrites(raft: Partial<ClusterSpec["Raft"]>): Promise<number> {
  const quorum = new MemoryQuorum();
  const { store } = await quorum.start("m1");
  const cluster = await newCluster("c1", {}, { clock: quorum.clock, random: systemRandom });
  await quorum.settle(store.update((tx) => tx.create("clusters", cluster)));
  follow(quorum, "m1");
  await setRaft(quorum, raft);
  for (let i = 0; i < 60; i++) {
    await quorum.settle(store.update((tx) => tx.create("services", service(`s${i}`, `s${i}`))));
  }
  await quorum.clock.advance(10_000);
  await quorum.kill("m1");
  const log = await Array.fromAsync(quorum.disks.get("m1")!.open().list(["log"]));
  await quorum.close();
  return log.length;
}

Deno.test("Raft settings: a checkpoint cuts the log after SnapshotInterval entries", async () => {
  const cut = await logAfterWrites({ SnapshotInterval: 20, LogEntriesForSlowFollowers: 1 });
  assert.ok(cut <= 25, `${cut} entries`);
  const whole = await logAfterWrites({ SnapshotInterval: 1000, LogEntriesForSlowFollowers: 1 });
  assert.ok(whole >= 60, `${whole} entries`);
});

Deno.test("Raft settings: LogEntriesForSlowFollowers stay behind a checkpoint", async () => {
  const some = await logAfterWrites({ SnapshotInterval: 20, LogEntriesForSlowFollowers: 30 });
  assert.ok(some >= 30 && some <= 55, `${some} entries`);
  const all = await logAfterWrites({ SnapshotInterval: 20, LogEntriesForSlowFollowers: 500 });
  assert.ok(all >= 60, `${all} entries`);
});

Deno.test("Raft settings: KeepOldSnapshots states before the present one stay, each a backup of its moment", async () => {
  const quorum = new MemoryQuorum();
  const { store, member } = await quorum.start("m1");
  const { clock } = quorum;
  const cluster = await newCluster("c1", {}, { clock, random: systemRandom });
  await quorum.settle(store.update((tx) => tx.create("clusters", cluster)));
  follow(quorum, "m1");
  const write = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await quorum.settle(store.update((tx) => {
        const n = tx.all("services").length;
        tx.create("services", service(`s${n}`, `s${n}`));
      }));
    }
    await clock.advance(10_000);
    return member.states!.old.length;
  };
  await setRaft(quorum, { SnapshotInterval: 10 });
  assert.equal(await write(25), 0);
  await setRaft(quorum, { KeepOldSnapshots: 2 });
  assert.equal(await write(45), 2);
  for (const { index } of member.states!.old) {
    const frames = await snapshotFrames({ store, consensus: member, version: "1" }, index);
    const read = await Array.fromAsync(readBackup(ReadableStream.from(frames)));
    const [head, end] = [read[0], read.at(-1)];
    assert.ok(head?.kind === "head" && end?.kind === "end");
    assert.equal(head.head.Index, index);
    // The log begins with an entry of the member's own; the cluster, its two updates and the services follow.
    const inIt = store.all("services").filter(({ Version }) => Version.Index <= head.head.Version).length;
    assert.ok(inIt > 25 && inIt < store.count("services"), `${inIt} services`);
    assert.equal(end.end.Objects, inIt + 1);
  }
  await assert.rejects(snapshotFrames({ store, consensus: member, version: "1" }, 1), { code: "not_found" });
  await setRaft(quorum, { KeepOldSnapshots: 0 });
  assert.equal(await write(15), 0);
  await quorum.close();
});
