/** Scenarios 31, 53 and 54: snapshots that are slow, break, or are followed by more work, between real members. */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Clock } from "../../../../api/clock.ts";
import { identityOf } from "../../../support/transport.ts";
import { service } from "../../store/objects.ts";
import { MemoryQuorum } from "./memory_quorum.ts";
import { type SnapshotWatch, watchSnapshots } from "./watched_dialer.ts";

const LIMITS = { checkpointBytes: 500_000 };
/** Enough of them push what m3 lacks out of every log. */
const BIG = { data: "x".repeat(50_000) };
const BIG_ONES = 150;

/** m1 leads and m2 follows; m3, which is off, lacks more than the logs keep. Snapshots of m1 and m2 are watched. */
async function behind(
  watch: Partial<SnapshotWatch>,
): Promise<{ quorum: MemoryQuorum; watch: SnapshotWatch }> {
  const quorum = new MemoryQuorum();
  const { clock, network } = quorum;
  const whole = { streams: 0, parts: 0, arrived: 0, partMs: 0, breakAfter: Infinity, ...watch };
  const options = (id: string) => {
    const dialer = network.dialer({ host: id, identity: () => identityOf(id, "swarm-manager"), clock });
    return { ...LIMITS, dialer: watchSnapshots(dialer, clock, whole) };
  };
  await quorum.start("m1", options("m1"));
  await quorum.join("m2", options("m2"));
  await quorum.join("m3", LIMITS);
  await quorum.kill("m3");
  // Until it counts as away; the log would be kept for it.
  await quorum.forget();
  await fill(quorum, "old", BIG_ONES);
  return { quorum, watch: Object.assign(whole, { streams: 0, parts: 0, arrived: 0 }) };
}

async function fill(quorum: MemoryQuorum, prefix: string, count: number): Promise<void> {
  const { store } = quorum.running.get("m1")!;
  const names = Array.from({ length: count }, (_, n) => `${prefix}${n}`);
  await quorum.settle(store.batch(names, (tx, name) => tx.create("services", service(name, name, BIG))));
}

const agrees = (quorum: MemoryQuorum) => quorum.names("m3").length === quorum.names("m1").length;

Deno.test("Snapshot: while a slow one is sent, nobody campaigns and writes take no longer (scenario 54)", async () => {
  const { quorum, watch } = await behind({ partMs: 150 });
  await quorum.start("m3", LIMITS);
  const { term } = quorum.running.get("m1")!.member.status();
  await quorum.until("the snapshot is on its way", () => watch.parts > 5);
  let slowest = 0;
  for (let n = 0; watch.arrived === 0; n++) {
    const before = quorum.clock.monotonic();
    await quorum.write(`meanwhile${n}`);
    slowest = Math.max(slowest, quorum.clock.monotonic() - before);
    await quorum.clock.advance(100);
  }
  ok(watch.parts > 40, `${watch.parts} parts`);
  ok(slowest <= 100, `the slowest write took ${slowest} ms`);
  await quorum.until("m3 has everything", () => agrees(quorum));
  strictEqual(watch.streams, 1);
  for (const { member } of quorum.running.values()) {
    deepStrictEqual([member.status().term, member.status().leaderNodeID], [term, "m1"]);
  }
  await quorum.close();
});

Deno.test("Snapshot: who takes one in votes meanwhile, and takes the next leader's in its place", async () => {
  const { quorum, watch } = await behind({ partMs: 150 });
  await quorum.start("m3", LIMITS);
  await quorum.until("the snapshot is on its way", () => watch.parts > 20);
  deepStrictEqual([quorum.leader, watch.arrived], ["m1", 0]);
  watch.partMs = 0;
  await quorum.kill("m1");
  // Nothing can be committed before m3 has it all, so it is sent without the usual pauses.
  const ms = await quorum.until("m2 leads", () => quorum.leader === "m2");
  ok(ms <= 2_500, `${ms} ms without a leader`);
  await quorum.write("written with m3");
  await quorum.until("m3 has everything", () => quorum.names("m3").length === quorum.names("m2").length);
  await quorum.close();
  const left = await Array.fromAsync(quorum.disks.get("m3")!.open().list(["state"]));
  strictEqual(new Set(left.map(({ key }) => key[1])).size, 1);
});

Deno.test("Snapshot: one whose stream breaks is sent again, until it arrives (scenario 53)", async () => {
  const { quorum, watch } = await behind({ breakAfter: 7 });
  await quorum.start("m3", LIMITS);
  await quorum.until("it broke three times", () => watch.streams >= 3);
  deepStrictEqual([watch.arrived, quorum.names("m3").length], [0, 0]);
  await quorum.write("meanwhile");
  const { streams } = watch;
  watch.breakAfter = Infinity;
  const ms = await quorum.until("m3 has everything", () => agrees(quorum));
  ok(ms < 5_000, `${ms} ms`);
  ok(watch.streams - streams <= 2, `${watch.streams - streams} more streams`);
  await quorum.close();
});

Deno.test("Snapshot: who lags under constant load catches up by entries after the first one (scenario 31)", async () => {
  const { quorum, watch } = await behind({ partMs: 20 });
  await quorum.start("m3", LIMITS);
  for (let round = 0; round < 30; round++) {
    // m3 hears nothing while ten entries more, a checkpoint every other round, come into being.
    quorum.network.setPath("m1", "m3", "stalled");
    await fill(quorum, `more${round}-`, 10);
    quorum.network.setPath("m1", "m3", "up");
    await quorum.clock.advance(50);
  }
  await quorum.until("m3 has everything", () => agrees(quorum));
  deepStrictEqual([watch.streams, watch.arrived], [1, 1]);
  await quorum.close();
});

Deno.test("Quorum: wall clocks that jump by hours disturb nobody (scenario 68)", async () => {
  const quorum = new MemoryQuorum();
  const { clock } = quorum;
  let jumps = 0;
  const jumping: Clock = {
    now: () => clock.now() + (jumps++ % 2 === 0 ? -1 : 1) * (jumps % 7) * 3_600_000,
    monotonic: () => clock.monotonic(),
    setTimer: (delayMs, run) => clock.setTimer(delayMs, run),
  };
  await quorum.start("m1", { clock: jumping });
  await quorum.join("m2", { clock: jumping });
  await quorum.join("m3", { clock: jumping });
  const { term } = quorum.running.get("m1")!.member.status();
  for (let n = 0; n < 20; n++) {
    await quorum.write(`s${n}`);
    await quorum.settle(quorum.running.get("m3")!.member.readBarrier());
    ok(quorum.names("m3").includes(`s${n}`));
    await quorum.clock.advance(300);
  }
  deepStrictEqual([quorum.leader, quorum.running.get("m2")!.member.status().term], ["m1", term]);
  await quorum.close();
});
