import assert from "node:assert/strict";
import { ClockFloor, readCertificate, verifyPeerChain } from "../../security/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { createTestCluster, DAY_MS } from "./fixtures.ts";
import { MemoryFileSystem } from "./memory_file_system.ts";

const MAY = Date.UTC(2026, 4, 1);

Deno.test("Clock floor: is the system clock until a later time is proved, then runs on from there", async () => {
  const clock = new FakeClock(0);
  const floor = new ClockFloor({ clock });
  assert.equal(floor.now(), 0);
  floor.observe(MAY);
  await clock.advance(5000);
  assert.equal(floor.now(), MAY + 5000);
  assert.equal(floor.behindMs, MAY);
  floor.observe(MAY - DAY_MS);
  floor.observe(Number.NaN);
  assert.equal(floor.now(), MAY + 5000);
});

Deno.test("Clock floor: a system clock that is ahead wins and is never persisted", async () => {
  const fs = new MemoryFileSystem();
  const clock = new FakeClock(MAY + DAY_MS);
  const floor = new ClockFloor({ clock, storage: { fs, folder: "/state" } });
  floor.observe(MAY);
  assert.equal(floor.now(), MAY + DAY_MS);
  assert.equal(floor.behindMs, 0);
  await floor.persist();
  assert.match(fs.text("/state/clock-floor"), /^2026-05-01T00:00:00.000Z [0-9a-f]{16}\n$/);
});

Deno.test("Clock floor: survives a reboot without a clock, and writes nothing while nothing is learnt", async () => {
  const fs = new MemoryFileSystem();
  const storage = { fs, folder: "/state" };
  const first = new ClockFloor({ clock: new FakeClock(0), storage });
  await first.load();
  await first.persist();
  assert.equal(fs.changes, 0);
  first.observe(MAY);
  await first.persist();
  await first.persist();
  assert.equal(fs.changes, 2, "one write and one rename");
  const second = new ClockFloor({ clock: new FakeClock(0), storage });
  await second.load();
  await second.persist();
  assert.equal(second.now(), MAY);
  assert.equal(fs.changes, 2);
});

Deno.test("Clock floor: a damaged file counts as none; a failed write is tried again", async () => {
  const fs = new MemoryFileSystem();
  const storage = { fs, folder: "/state" };
  const floor = new ClockFloor({ clock: new FakeClock(0), storage });
  floor.observe(MAY);
  await floor.persist();
  const saved = fs.text("/state/clock-floor");
  for (const damaged of ["", "2026-05-", saved.slice(0, 24), saved.replace("2026", "2036")]) {
    fs.files.set("/state/clock-floor", new TextEncoder().encode(damaged));
    const next = new ClockFloor({ clock: new FakeClock(0), storage });
    await next.load();
    assert.equal(next.now(), 0, damaged);
  }
  fs.files.clear();
  fs.changes = 0;
  floor.observe(MAY + DAY_MS);
  fs.failAt = 1;
  await assert.rejects(floor.persist());
  fs.failAt = Infinity;
  await floor.persist();
  assert.match(fs.text("/state/clock-floor"), /^2026-05-02T/);
});

Deno.test("Clock floor: the root seeds it, and a time past the root's end is not believed", async () => {
  const cluster = await createTestCluster();
  const root = readCertificate(cluster.root.certificatePEM);
  const floor = new ClockFloor({ clock: new FakeClock(0) });
  floor.seed(root);
  assert.equal(floor.now(), root.notBefore);
  floor.observe(root.notAfter);
  assert.equal(floor.now(), root.notBefore);
});

Deno.test("Clock floor: a device in 1970 that learnt the time judges certificates by it", async () => {
  const cluster = await createTestCluster();
  const { certificatePEM } = await cluster.node("node1");
  const roots = [cluster.root.certificatePEM];
  const floor = new ClockFloor({ clock: new FakeClock(0) });
  floor.seed(readCertificate(cluster.root.certificatePEM));
  assert.equal(verifyPeerChain(certificatePEM, { roots, now: floor.now() }).nodeID, "node1");
  floor.observe(cluster.clock.now() + 91 * DAY_MS);
  assert.throws(() => verifyPeerChain(certificatePEM, { roots, now: floor.now() }), /expired on/);
});

Deno.test("Clock floor: the time is known once a peer has said it, or the system clock is not behind what has passed", async () => {
  const fs = new MemoryFileSystem(), storage = { fs, folder: "/state" };
  const first = new ClockFloor({ clock: new FakeClock(MAY), storage });
  first.tell(MAY);
  await first.persist();
  const clock = new FakeClock(0), rebooted = new ClockFloor({ clock, storage });
  await rebooted.load();
  assert.equal(rebooted.now(), MAY, "no earlier");
  assert.equal(rebooted.isKnown, false, "and how much later nobody has said");
  rebooted.observe(MAY + DAY_MS);
  assert.equal(rebooted.isKnown, false, "a certificate says no more than that");
  rebooted.tell(Number.NaN);
  assert.equal(rebooted.isKnown, false);
  clock.set(MAY + DAY_MS - 30_000);
  assert.equal(rebooted.isKnown, true, "somebody set the clock");
  clock.set(-MAY);
  assert.equal(rebooted.isKnown, false);
  rebooted.tell(MAY + 2 * DAY_MS);
  assert.equal(rebooted.isKnown, true);
});
