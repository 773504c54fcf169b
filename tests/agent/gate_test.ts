/** What stands against a swap on a device: judged purely, and acted upon by an agent in virtual time. */
import assert from "node:assert/strict";
import { versionHash } from "../../agent/bad_versions.ts";
import { type DeviceFacts, whyNotBegin, whyNotPrepare } from "../../agent/gate.ts";
import type { TaskSwap } from "../../api/swap.ts";
import type { Task } from "../../api/task.ts";
import { testTask } from "../manager/dispatcher/harness.ts";
import { Cluster, deviceFacts } from "./support/cluster.ts";

const HOUR_MS = 3_600_000, HOUR_NS = 3600e9;
/** In the time zone of the machine, whatever that is. */
const TWO_AT_NIGHT = new Date(2026, 2, 2, 2, 0).getTime();
const NIGHTS = { Cron: "0 2 * * *", Grace: HOUR_NS };
const SWAP: TaskSwap = { With: "old", Deadline: 60e9, Monitor: 10e9 };

function task(id: string, change: Partial<Task> = {}): Task {
  return testTask(id, "n1", { Swap: SWAP, ...change });
}

function begin(next: Task, facts: Partial<DeviceFacts>, old = task("old"), others: Task[] = []) {
  return whyNotBegin(next, old, others, deviceFacts(TWO_AT_NIGHT, facts));
}

Deno.test("Gate: a window is open from its time on for as long as its grace, in the device's own time zone", () => {
  const at = (hours: number) => TWO_AT_NIGHT + hours * HOUR_MS;
  const download = task("new", { Swap: { ...SWAP, Download: NIGHTS } });
  const apply = task("new", { Swap: { ...SWAP, Apply: NIGHTS } });
  for (const [hours, isOpen] of [[-0.5, false], [0, true], [0.5, true], [1.5, false]] as const) {
    assert.equal(whyNotPrepare(download, deviceFacts(at(hours))) === undefined, isOpen, `${hours}`);
    assert.equal(begin(apply, { nowMs: at(hours) }) === undefined, isOpen, `${hours}`);
    assert.equal(whyNotPrepare(apply, deviceFacts(at(hours))), undefined);
    assert.equal(begin(download, { nowMs: at(hours) }), undefined);
  }
  const report = begin(apply, { nowMs: at(-0.5) })!;
  assert.equal(report.Kind, "window");
  assert.equal(report.Until, new Date(TWO_AT_NIGHT).toISOString());
});

Deno.test("Gate: an update lock holds until it says, and no longer than a day", () => {
  const until = new Date(TWO_AT_NIGHT + HOUR_MS).toISOString();
  const writtenMs = TWO_AT_NIGHT - HOUR_MS;
  assert.deepEqual(begin(task("new"), { lock: { text: `${until}\n`, writtenMs } }), {
    Kind: "locked",
    Reason: "the device's update lock is set",
    Until: until,
  });
  assert.equal(begin(task("new"), { lock: { text: until, writtenMs }, nowMs: Date.parse(until) }), undefined);
  assert.equal(begin(task("new"), { lock: { text: "", writtenMs } })?.Kind, "locked");
  const yesterday = TWO_AT_NIGHT - 24 * HOUR_MS;
  assert.equal(begin(task("new"), { lock: { text: "", writtenMs: yesterday } }), undefined);
  assert.equal(
    begin(task("new"), { lock: { text: "2999-01-01T00:00:00Z", writtenMs: yesterday } }),
    undefined,
  );
});

Deno.test("Gate: where consent is asked for, somebody at the device agrees to this version, or to all", () => {
  const next = task("new", { Swap: { ...SWAP, Consent: true } }), hash = versionHash(next);
  const report = begin(next, {})!;
  assert.equal(report.Kind, "consent");
  const shown = report.Reason.split(" ").at(-1)!;
  assert.ok(hash.startsWith(shown));
  assert.equal(begin(next, { consent: [shown] }), undefined);
  assert.equal(begin(next, { consent: ["all"] }), undefined);
  assert.equal(begin(next, { consent: [hash.slice(0, 3), "another"] })?.Kind, "consent");
  assert.equal(begin(task("new"), {}), undefined);
});

Deno.test("Gate: a device that lacks what the new version needs is ineligible, and says what", () => {
  const reserved = (MemoryBytes: number) => ({
    Spec: { ...task("x").Spec, Resources: { Reservations: { MemoryBytes } } },
  });
  const port = {
    Protocol: "tcp" as const,
    TargetPort: 80,
    PublishedPort: 8080,
    PublishMode: "host" as const,
  };
  const why = (...args: Parameters<typeof begin>) => {
    const report = begin(...args);
    return report && `${report.Kind}: ${report.Reason}`;
  };
  assert.equal(
    why(task("new"), { freeDiskBytes: 2 ** 20 }),
    "ineligible: the disk has 1 MiB left, 16 MiB are needed",
  );
  const foreign = task("new", {
    Spec: { ...task("x").Spec, Placement: { Platforms: [{ OS: "linux", Architecture: "amd64" }] } },
  });
  assert.equal(why(foreign, {}), "ineligible: it is made for linux/amd64, the device is linux/arm64");
  const large = task("new", reserved(200 * 2 ** 20)), facts = { availableMemoryBytes: 150 * 2 ** 20 };
  assert.equal(why(large, facts), "ineligible: it needs 200 MiB of memory, 150 MiB are free");
  assert.equal(why(large, facts, task("old", reserved(50 * 2 ** 20))), undefined, "what the old one leaves");
  const web = task("new", { Ports: [port] });
  assert.equal(why(web, {}, task("old", { Ports: [port] })), undefined);
  assert.equal(
    why(web, {}, task("old"), [task("other", { Ports: [port] })]),
    "ineligible: another task has port 8080/tcp",
  );
});

Deno.test("Gate: a locked device goes on with the old version, says why, and swaps within 10 s of the lock's end", async () => {
  const cluster = await Cluster.start();
  cluster.facts = { lock: { text: "", writtenMs: cluster.clock.now() } };
  await cluster.startAgent();
  await cluster.assign("old");
  await cluster.assign("new", {
    Swap: SWAP,
    Spec: { ...task("x").Spec, ForceUpdate: 1 },
    DesiredState: "ready",
  });
  assert.deepEqual([cluster.status("new").State, cluster.status("new").Swap?.Kind], ["ready", "locked"]);
  // The word of the manager is no key.
  await cluster.want("new", "running");
  await cluster.clock.advance(60_000);
  assert.deepEqual(cluster.device.running, ["old"]);
  assert.equal(cluster.device.program("old").count("shutdown"), 0);
  cluster.facts = undefined;
  await cluster.clock.advance(10_000);
  await cluster.settle();
  assert.deepEqual(cluster.device.running, ["new"]);
  assert.equal(cluster.status("new").Swap, undefined);
  await cluster.stop();
});

Deno.test("Gate: outside the window for downloads nothing is made ready", async () => {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  const later = new Date(cluster.clock.now() + 2 * HOUR_MS);
  const Download = { Cron: `${later.getMinutes()} ${later.getHours()} * * *`, Grace: HOUR_NS };
  await cluster.assign("old");
  await cluster.assign("new", { Swap: { ...SWAP, Download }, DesiredState: "ready" });
  assert.equal(cluster.status("new").Swap?.Kind, "window");
  assert.equal(cluster.device.program("new").count("prepare"), 0);
  await cluster.clock.advance(2 * HOUR_MS + 10_000);
  await cluster.settle();
  assert.deepEqual([cluster.status("new").State, cluster.status("new").Swap], ["ready", undefined]);
  await cluster.stop();
});
