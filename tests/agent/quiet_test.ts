/** When an agent may end by itself: in none of the moments in which somebody would notice. */
import assert from "node:assert/strict";
import { LOCK_FILE } from "../../agent/device_facts.ts";
import { isQuiet, type QuietOptions } from "../../agent/quiet.ts";
import { CoveyError } from "../../api/errors.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { inFolder } from "../support/programs.ts";
import { Cluster } from "./support/cluster.ts";

const SECOND_NS = 1e9;

async function withAgent(test: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  assert.equal(cluster.agent.isQuiet, true, "with no task");
  await test(cluster);
  await cluster.stop();
}

Deno.test("Quiet: not while a task is made ready, started or stopped, but while it runs and once it has ended", () =>
  withAgent(async (cluster) => {
    const { agent, device: { programs }, device } = cluster, { blocks } = device.program("a");
    const goOn = { prepare: () => {}, start: () => {}, shutdown: () => {} };
    for (const call of ["prepare", "start", "shutdown"] as const) {
      const block = Promise.withResolvers<void>();
      blocks[call] = block.promise;
      goOn[call] = block.resolve;
    }
    await cluster.assign("a");
    for (const call of ["prepare", "start"] as const) {
      assert.equal(programs.get("a")!.calls.at(-1), call);
      assert.equal(agent.isQuiet, false, call);
      goOn[call]();
      await cluster.settle();
    }
    assert.equal(cluster.status("a").State, "running");
    assert.equal(agent.isQuiet, true, "running");
    await cluster.want("a", "shutdown");
    assert.equal(agent.isQuiet, false, "shutdown");
    goOn.shutdown();
    await cluster.settle();
    assert.equal(cluster.status("a").State, "shutdown");
    assert.equal(agent.isQuiet, true, "ended");
  }));

Deno.test("Quiet: a task that cannot be made ready keeps nobody from it for ever", () =>
  withAgent(async (cluster) => {
    const away = new CoveyError("unavailable", "Cannot pull: the registry is away");
    cluster.device.program("a").errors.prepare = Array.from({ length: 100 }, () => away);
    await cluster.assign("a");
    assert.equal(cluster.status("a").State, "preparing");
    assert.equal(cluster.agent.isQuiet, true);
  }));

Deno.test("Quiet: not while a new version is brought in or watched, with which each agent counts", () =>
  withAgent(async (cluster) => {
    const { agent, clock } = cluster;
    await cluster.assign("old");
    const Swap = { With: "old", Deadline: 60 * SECOND_NS, Monitor: 10 * SECOND_NS };
    await cluster.assign("new", { Swap, DesiredState: "ready" });
    assert.equal(agent.isQuiet, true, "it waits until it may");
    await cluster.want("new", "running");
    assert.equal(cluster.status("new").State, "running");
    await clock.advance(9_000);
    assert.equal(agent.isQuiet, false, "it has to prove itself");
    await clock.advance(1_000);
    await cluster.settle();
    assert.equal(cluster.status("old").State, "shutdown");
    assert.equal(agent.isQuiet, true);
  }));

Deno.test("Quiet: a new version whose task failed, or whose place is gone, keeps nobody from it", () =>
  withAgent(async (cluster) => {
    const Swap = { With: "old", Deadline: 60 * SECOND_NS, Monitor: 10 * SECOND_NS };
    await cluster.assign("old");
    await cluster.assign("new", { Swap });
    assert.equal(cluster.agent.isQuiet, false);
    cluster.device.program("new").exit(1);
    await cluster.settle();
    assert.equal(cluster.status("new").State, "failed");
    assert.equal(cluster.agent.isQuiet, true, "the one before runs again");
    await cluster.assign("newer", { Swap });
    await cluster.remove("old");
    assert.equal(cluster.agent.isQuiet, true, "nothing is left to go back to");
  }));

/** A device where nothing stands against it. */
function quiet(path: string, change: Partial<QuietOptions> = {}): QuietOptions {
  return {
    folder: { path, isOnTrial: () => Promise.resolve(false) },
    clock: new FakeClock(),
    programVersion: "v",
    locks: { ofTasks: new Map() },
    server: { size: 0 },
    agent: { isQuiet: true },
    ...change,
  };
}

Deno.test("Quiet: not with an update lock, during a trial, with a connection to the device's own socket, or where that cannot be seen", () =>
  inFolder(async (folder) => {
    assert.equal(await isQuiet(quiet(folder)), true);
    assert.equal(await isQuiet(quiet(folder, { agent: { isQuiet: false } })), false);
    assert.equal(await isQuiet(quiet(folder, { server: { size: 1 } })), false);
    assert.equal(await isQuiet(quiet(folder, { locks: { ofTasks: new Map([["t", 1]]) } })), false);
    const onTrial = { path: folder, isOnTrial: (version?: string) => Promise.resolve(version === "v") };
    assert.equal(await isQuiet(quiet(folder, { folder: onTrial })), false);
    const clock = new FakeClock(), lock = `${folder}/${LOCK_FILE}`;
    await Deno.writeTextFile(lock, new Date(clock.now() + 1_000).toISOString());
    await Deno.utime(lock, new Date(clock.now()), new Date(clock.now()));
    assert.equal(await isQuiet(quiet(folder, { clock })), false);
    await clock.advance(1_000);
    assert.equal(await isQuiet(quiet(folder, { clock })), true, "it has ended");
    await Deno.remove(lock);
    await Deno.mkdir(lock);
    await assert.rejects(isQuiet(quiet(folder)), (error) => error instanceof Error);
  }));
