import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { Cluster } from "./support/cluster.ts";

async function withCluster(run: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = await Cluster.start();
  await cluster.startAgent();
  await run(cluster);
  await cluster.stop();
}

const spec = (RestartPolicy: object) => ({
  Spec: { ProcessSpec: { Command: "sleep" }, ForceUpdate: 0, Runtime: "process", RestartPolicy },
});

Deno.test("Agent: an assigned task is run and reported", () =>
  withCluster(async (c) => {
    await c.assign("a");
    assert.deepEqual(c.device.program("a").calls, ["controller", "prepare", "start"]);
    assert.equal(c.status("a").State, "running");
    assert.deepEqual(c.status("a").ContainerStatus, { ContainerID: "a", PID: 7, ExitCode: 0 });
  }));

Deno.test("Agent: a task left out of a complete set is stopped and removed, others are left alone (97)", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.assign("b");
    c.stopManager();
    await c.store.update((tx) => tx.delete("tasks", "a"));
    await c.startManager();
    await c.clock.advance(10_000);
    assert.deepEqual(c.device.program("a").calls.slice(3), ["shutdown", "remove"]);
    assert.deepEqual(c.device.program("b").calls, ["controller", "prepare", "start"]);
    assert.deepEqual([...c.state.tasks()].map((r) => r.task.ID), ["b"]);
  }));

Deno.test("Agent: incremental changes touch only the tasks they name (97)", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.assign("b");
    await c.remove("b");
    assert.deepEqual(c.device.running, ["a"]);
    assert.deepEqual(c.device.program("a").calls, ["controller", "prepare", "start"]);
  }));

Deno.test("Agent: after a reconnect statuses are reported again and no task is restarted (98)", () =>
  withCluster(async (c) => {
    await c.assign("a");
    c.stopManager();
    await c.clock.advance(60_000);
    const task = c.store.get("tasks", "a")!;
    await c.store.update((tx) =>
      tx.update("tasks", { ...task, Status: { ...task.Status, State: "assigned", Message: "" } })
    );
    await c.startManager();
    await c.clock.advance(10_000);
    assert.equal(c.status("a").State, "running");
    assert.deepEqual(c.device.program("a").calls, ["controller", "prepare", "start"]);
  }));

Deno.test("Agent: a lost session is opened anew with growing, random pauses (99)", () =>
  withCluster(async (c) => {
    c.stopManager();
    const before = c.dials.length;
    await c.clock.advance(120_000);
    const pauses = c.dials.slice(before).map((at, i, all) => i === 0 ? 0 : at - all[i - 1]!);
    assert.ok(pauses.length > 15 && pauses.length < 60, `${pauses.length} attempts`);
    assert.ok(Math.max(...pauses) <= 8000);
    assert.ok(Math.max(...pauses) > 4000);
    await c.startManager();
    await c.clock.advance(8000);
    assert.equal(c.agent.state, "connected");
    assert.equal(c.store.get("nodes", "n1")?.Status.State, "ready");
  }));

Deno.test("Agent: heartbeats keep the node ready without writing anything", () =>
  withCluster(async (c) => {
    await c.assign("a");
    const index = c.store.index;
    await c.clock.advance(60_000);
    assert.equal(c.store.index, index);
    assert.equal(c.store.get("nodes", "n1")?.Status.State, "ready");
    assert.equal(c.state.writing, false);
  }));

Deno.test("Agent: a failing prepare rejects the task, a failing start fails it, exit codes are kept (100)", () =>
  withCluster(async (c) => {
    c.device.program("p").errors.prepare = [new CoveyError("not_found", "Cannot prepare: no such image")];
    await c.assign("p");
    assert.deepEqual([c.status("p").State, c.status("p").Err], ["rejected", "Cannot prepare: no such image"]);
    c.device.program("s").errors.start = [new CoveyError("internal", "Cannot start: no such program")];
    await c.assign("s");
    assert.deepEqual([c.status("s").State, c.status("s").Err], ["failed", "Cannot start: no such program"]);
    await c.assign("x");
    c.device.program("x").exit(3);
    await c.settle();
    assert.deepEqual([c.status("x").State, c.status("x").ContainerStatus?.ExitCode], ["failed", 3]);
    assert.match(c.status("x").Err!, /non-zero exit \(3\)/);
    await c.assign("ok");
    c.device.program("ok").exit(0);
    await c.settle();
    assert.equal(c.status("ok").State, "complete");
  }));

Deno.test("Agent: a temporary error is retried with growing pauses and shown meanwhile (100)", () =>
  withCluster(async (c) => {
    const down = () => new CoveyError("unavailable", "Cannot pull: registry does not answer");
    c.device.program("a").errors.prepare = [down(), down(), down()];
    await c.assign("a");
    assert.deepEqual([c.status("a").State, c.status("a").Err], ["preparing", down().message]);
    await c.clock.advance(1000);
    assert.equal(c.device.program("a").count("prepare"), 2);
    await c.clock.advance(1000);
    assert.equal(c.device.program("a").count("prepare"), 2);
    await c.clock.advance(5000);
    assert.equal(c.status("a").State, "running");
    assert.equal(c.status("a").Err, undefined);
  }));

Deno.test("Agent: a task whose runtime nobody serves is rejected with the reason", () =>
  withCluster(async (c) => {
    await c.assign("a", { Spec: { ForceUpdate: 0, Runtime: "wasm" } });
    assert.equal(c.status("a").State, "rejected");
    assert.match(c.status("a").Err!, /no executor for runtime wasm/);
    await c.remove("a");
    assert.deepEqual([...c.state.tasks()], []);
  }));

Deno.test("Agent: desired ready stops at ready until running is desired (101)", () =>
  withCluster(async (c) => {
    await c.assign("a", { DesiredState: "ready" });
    assert.equal(c.status("a").State, "ready");
    assert.deepEqual(c.device.program("a").calls, ["controller", "prepare"]);
    await c.want("a", "running");
    assert.equal(c.status("a").State, "running");
    assert.equal(c.device.program("a").count("prepare"), 1);
  }));

Deno.test("Agent: running desired during a prepare does not begin it anew", () =>
  withCluster(async (c) => {
    let release = () => {};
    c.device.program("a").blocks.prepare = new Promise((resolve) => release = resolve);
    await c.assign("a", { DesiredState: "ready" });
    await c.want("a", "running");
    release();
    await c.settle();
    assert.equal(c.device.program("a").count("prepare"), 1);
    assert.equal(c.status("a").State, "running");
  }));

Deno.test("Agent: shutdown desired during a prepare ends it", () =>
  withCluster(async (c) => {
    c.device.program("a").blocks.prepare = new Promise(() => {});
    await c.assign("a");
    await c.want("a", "shutdown");
    assert.equal(c.status("a").State, "shutdown");
    assert.deepEqual(c.device.program("a").calls.slice(-1), ["shutdown"]);
  }));

Deno.test("Agent: remove desired stops a task that has not ended, and only such a one (102)", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.assign("b");
    c.device.program("b").exit(0);
    await c.settle();
    await c.want("a", "remove");
    await c.want("b", "remove");
    assert.equal(c.status("a").State, "shutdown");
    assert.equal(c.status("b").State, "complete");
    assert.equal(c.device.program("a").count("shutdown"), 1);
    assert.equal(c.device.program("b").count("shutdown"), 0);
    await c.remove("a");
    assert.equal(c.device.program("a").count("remove"), 1);
  }));

Deno.test("Agent: a new agent finds running tasks again and starts none twice (103)", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.assign("b");
    await c.stopAgent();
    assert.deepEqual(c.device.running, ["a", "b"]);
    c.device.program("b").exit(4);
    await c.startAgent();
    await c.settle();
    assert.deepEqual(c.device.program("a").calls, ["controller", "prepare", "start", "recover"]);
    assert.equal(c.status("a").State, "running");
    assert.deepEqual([c.status("b").State, c.status("b").ContainerStatus?.ExitCode], ["failed", 4]);
    await c.remove("a");
    assert.deepEqual(c.device.running, []);
  }));

Deno.test("Agent: after a reboot without network the last known tasks start from local state", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.assign("ended");
    c.device.program("ended").exit(1);
    await c.settle();
    await c.stopAgent();
    c.stopManager();
    c.device.reboot();
    await c.startAgent("boot-2");
    assert.deepEqual(c.device.running, ["a"]);
    await c.startManager();
    await c.clock.advance(8000);
    assert.equal(c.status("a").State, "running");
    assert.match(c.status("a").Message, /started/);
  }));

Deno.test("Agent: a task that a reboot ended is run again, unless it may run only once, however little is left of it", () =>
  withCluster(async (c) => {
    for (const Condition of ["any", "on-failure", "none"] as const) {
      for (const how of ["ended", "gone"]) await c.assign(`${Condition}-${how}`, spec({ Condition }));
    }
    await c.stopAgent();
    for (const id of c.device.running) {
      if (id.endsWith("ended")) c.device.program(id).exit(143);
      else c.device.program(id).running = false;
    }
    await c.startAgent("boot-2");
    await c.settle();
    assert.deepEqual(c.device.running, ["any-ended", "any-gone", "on-failure-ended", "on-failure-gone"]);
    for (const id of c.device.running) assert.equal(c.status(id).State, "running");
    assert.match(c.status("none-ended").Err!, /non-zero exit \(143\)/);
    assert.match(c.status("none-gone").Err!, /nothing is left of it/);
  }));

Deno.test("Agent: attempts made without a manager count across reboots, and are reported to be counted on", () =>
  withCluster(async (c) => {
    await c.assign("a", spec({ Condition: "on-failure", Delay: 1e9, MaxAttempts: 2, Window: 3600e9 }));
    c.stopManager();
    await c.settle();
    for (const boot of ["boot-2", "boot-3"]) {
      c.device.program("a").exit(1);
      await c.clock.advance(1200);
      assert.deepEqual(c.device.running, ["a"]);
      await c.stopAgent();
      c.device.reboot();
      await c.startAgent(boot);
      assert.deepEqual(c.device.running, ["a"], "a reboot is no attempt");
      await c.clock.advance(5000);
    }
    c.device.program("a").exit(1);
    await c.clock.advance(1200);
    assert.deepEqual(c.device.running, []);
    await c.startManager();
    await c.clock.advance(8000);
    assert.equal(c.status("a").State, "failed");
    assert.equal(c.status("a").Restarts?.length, 2);
  }));

Deno.test("Agent: an ended program that somebody starts again is stopped, by the next agent too", () =>
  withCluster(async (c) => {
    for (const id of ["a", "b"]) {
      await c.assign(id);
      c.device.program(id).exit(1);
      await c.settle();
    }
    c.device.program("a").startByHand();
    await c.settle();
    await c.stopAgent();
    c.device.program("b").startByHand();
    await c.startAgent();
    await c.settle();
    assert.deepEqual(c.device.running, []);
    assert.deepEqual([c.status("a").State, c.status("b").State], ["failed", "failed"]);
  }));

Deno.test("Agent: with no manager in reach a crashed task is run again by its restart policy", () =>
  withCluster(async (c) => {
    await c.assign("any", spec({ Delay: 2e9 }));
    await c.assign("twice", spec({ Condition: "on-failure", Delay: 1e9, MaxAttempts: 2 }));
    await c.assign("never", spec({ Condition: "none" }));
    c.stopManager();
    await c.settle();
    for (const id of ["any", "twice", "never"]) c.device.program(id).exit(1);
    await c.clock.advance(1900);
    assert.deepEqual(c.device.running, ["twice"]);
    await c.clock.advance(200);
    assert.deepEqual(c.device.running, ["any", "twice"]);
    for (let i = 0; i < 2; i++) {
      c.device.program("twice").exit(1);
      await c.clock.advance(1200);
    }
    assert.deepEqual(c.device.running, ["any"]);
    await c.startManager();
    await c.clock.advance(8000);
    assert.deepEqual([c.status("any").State, c.status("any").Message], [
      "running",
      "started (run again on the node: 1)",
    ]);
    assert.equal(c.status("twice").State, "failed");
    assert.equal(c.status("never").State, "failed");
  }));

Deno.test("Agent: a manager that comes back before the local restart gets the failure instead", () =>
  withCluster(async (c) => {
    await c.assign("a", spec({ Delay: 60e9 }));
    c.stopManager();
    await c.settle();
    c.device.program("a").exit(1);
    await c.clock.advance(1000);
    await c.startManager();
    await c.clock.advance(10_000);
    assert.equal(c.status("a").State, "failed");
    assert.equal(c.device.program("a").count("start"), 1);
  }));

Deno.test("Agent: a node removed from the cluster says so once, tries seldom, and stops its tasks once it hears it again", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.store.update((tx) => tx.delete("nodes", "n1"));
    await c.clock.advance(1000);
    assert.equal(c.agent.state, "removed");
    assert.equal(c.states.at(-1)?.error?.code, "not_found");
    const dials = c.dials.length;
    assert.deepEqual(c.device.running, ["a"], "it may have been a manager that lags behind");
    await c.clock.advance(180_000);
    assert.ok(c.dials.length - dials <= 4);
    assert.deepEqual(c.device.running, []);
    assert.deepEqual([...c.state.tasks()], [], "nor after a reboot");
  }));

Deno.test("Agent: a removed node that is not even let in says so and tries as seldom", () =>
  withCluster(async (c) => {
    await c.assign("a");
    c.refusal = new CoveyError("permission_denied", "Cannot accept connection: removed", {
      reason: "not_in_cluster",
    });
    c.stopManager();
    await c.clock.advance(10_000);
    assert.equal(c.agent.state, "removed");
    const dials = c.dials.length;
    await c.clock.advance(180_000);
    assert.ok(c.dials.length - dials <= 4);
    assert.deepEqual(c.device.running, []);
  }));

Deno.test("Agent: a copy of another device that is kept out tries seldom, and keeps its tasks", () =>
  withCluster(async (c) => {
    await c.assign("a");
    const message = "Cannot open a session: another device has the key of node n1 too";
    c.refusal = new CoveyError("failed_precondition", message, { reason: "twin" });
    c.connection?.cut();
    await c.settle();
    const before = c.dials.length;
    await c.clock.advance(10 * 60_000);
    assert.ok(c.dials.length - before <= 11, `${c.dials.length - before} attempts`);
    assert.deepEqual([c.device.running, c.agent.state], [["a"], "connecting"]);
  }));

Deno.test("Agent: a node that was unknown for a moment only keeps its tasks", () =>
  withCluster(async (c) => {
    await c.assign("a");
    const node = c.store.get("nodes", "n1")!;
    await c.store.update((tx) => tx.delete("nodes", "n1"));
    await c.clock.advance(1000);
    assert.equal(c.agent.state, "removed");
    await c.store.update((tx) => tx.create("nodes", node));
    await c.clock.advance(180_000);
    assert.equal(c.agent.state, "connected");
    assert.deepEqual(c.device.running, ["a"]);
    assert.equal(c.device.program("a").count("start"), 1);
  }));

Deno.test("Agent: an older set of assignments is refused, until it must be a restored cluster", () =>
  withCluster(async (c) => {
    await c.assign("a");
    c.stopManager();
    c.state.setNode({ index: 1_000_000 });
    await c.store.update((tx) => tx.delete("tasks", "a"));
    await c.startManager();
    await c.clock.advance(30_000);
    assert.deepEqual(c.device.running, ["a"]);
    await c.clock.advance(60_000);
    assert.deepEqual(c.device.running, []);
  }));

Deno.test("Agent: a changed description is sent at the next check, the tasks are left alone", () =>
  withCluster(async (c) => {
    await c.assign("a");
    assert.deepEqual(c.store.get("nodes", "n1")?.Description?.Runtimes, ["process"]);
    c.device.hostname = "renamed";
    await c.clock.advance(21_000);
    assert.equal(c.store.get("nodes", "n1")?.Description?.Hostname, "renamed");
    c.device.hostname = undefined;
    await c.clock.advance(20_000);
    assert.deepEqual(c.store.get("nodes", "n1")?.Description?.Runtimes, []);
    assert.equal(c.agent.state, "connected");
    assert.deepEqual(c.device.program("a").calls, ["controller", "prepare", "start"]);
  }));

Deno.test("Agent: an engine that is not up yet at boot is waited for, the task is found again", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.stopAgent();
    c.device.recoverErrors = [new CoveyError("unavailable", "Cannot reach the engine: connection refused")];
    await c.startAgent();
    assert.equal(c.status("a").Err, "Cannot reach the engine: connection refused");
    await c.clock.advance(1500);
    assert.equal(c.status("a").Err, undefined);
    assert.equal(c.status("a").State, "running");
    assert.equal(c.device.program("a").count("start"), 1);
  }));

Deno.test("Agent: a removal that the agent did not live to finish is finished by the next one", () =>
  withCluster(async (c) => {
    await c.assign("a");
    c.device.program("a").errors.remove = [new CoveyError("unavailable", "Cannot remove: busy")];
    await c.remove("a");
    await c.stopAgent();
    c.stopManager();
    await c.startAgent();
    assert.deepEqual(c.device.running, []);
    assert.deepEqual([...c.state.tasks()], []);
  }));

Deno.test("Agent: a removal given up is swept later, and so is what nobody remembers, but never before the tasks are known", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.assign("b");
    const busy = new CoveyError("unavailable", "Cannot remove: busy");
    c.device.program("a").errors.remove = Array.from({ length: 30 }, () => busy);
    c.device.program("a").errors.shutdown = [new CoveyError("internal", "Cannot stop: confused")];
    c.device.program("stray").running = true;
    await c.remove("a");
    await c.clock.advance(20 * 60_000);
    assert.deepEqual([...c.state.tasks()].map(({ task }) => task.ID), ["b"]);
    c.device.program("a").running = true;
    await c.clock.advance(60 * 60_000);
    assert.deepEqual(c.device.running, ["b"]);
    c.device.program("stray").running = true;
    await c.stopAgent();
    c.stopManager();
    await c.startAgent();
    const sweeps = c.device.sweeps;
    await c.clock.advance(120 * 60_000);
    assert.equal(c.device.sweeps, sweeps);
    assert.deepEqual(c.device.running, ["b", "stray"]);
    await c.startManager();
    await c.clock.advance(20_000);
    assert.deepEqual(c.device.running, ["b"]);
  }));

Deno.test("Agent: an agent that lost its state takes nothing that runs for a leftover", () =>
  withCluster(async (c) => {
    await c.assign("a");
    await c.stopAgent();
    await c.forgetState();
    await c.startAgent();
    assert.equal(c.device.program("a").count("shutdown") + c.device.program("a").count("remove"), 0);
    assert.deepEqual(c.device.running, ["a"]);
  }));

Deno.test("Agent: a task whose executor makes the agent itself throw is set aside and reported, the others go on", () =>
  withCluster(async (c) => {
    await c.assign("a");
    c.device.program("b").handleData = { number: 1n };
    await c.assign("b");
    assert.equal(c.status("b").State, "failed");
    assert.match(c.status("b").Err!, /BigInt/);
    assert.equal(c.agent.state, "connected");
    await c.assign("c");
    assert.deepEqual([c.status("a").State, c.status("c").State], ["running", "running"]);
    await c.clock.advance(60 * 60_000);
    assert.deepEqual(c.device.running, ["a", "c"]);
  }));

Deno.test("Agent: a task whose executor reports impossible numbers is reported without them", () =>
  withCluster(async (c) => {
    for (const [i, pid] of [2 ** 60, -(2 ** 64), 1.5, NaN, "7", new Uint8Array(8), {}].entries()) {
      const id = `t${i}`;
      c.device.program(id).pid = pid;
      await c.assign(id);
      assert.equal(c.status(id).State, "running");
      assert.equal(c.status(id).ContainerStatus, undefined);
    }
    await c.assign("right");
    assert.equal(c.status("right").ContainerStatus?.PID, 7);
    assert.equal(c.agent.state, "connected");
  }));
