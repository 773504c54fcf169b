/** A running program is told of new versions of its secrets and configs, or replaced where it cannot be. */
import assert from "node:assert/strict";
import type { TaskRecord } from "../../agent/local_state.ts";
import { StartLimiter } from "../../agent/start_limiter.ts";
import { TaskManager } from "../../agent/task_manager.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Task, TaskStatus } from "../../api/task.ts";
import { type Executor, type Handle, NO_DEPENDENCIES } from "../../executors/executor.ts";
import { DESCRIPTION } from "../manager/dispatcher/harness.ts";
import { task } from "../manager/store/objects.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Device } from "./support/scripted_executor.ts";

/** A task whose config is `id`, announced by SIGHUP. */
function configured(id: string, Signal: string | undefined = "HUP"): Task {
  const File = { Name: "c", UID: "0", GID: "0", Mode: 0o444 };
  const Configs = [{ ConfigID: id, ConfigName: "c", File, ...(Signal && { Signal }) }];
  const base = task("a", "s", "n");
  return { ...base, Spec: { ...base.Spec, Runtime: "process", ProcessSpec: { Command: "/bin/x", Configs } } };
}

/** An agent with one task, over a device that outlives it. */
class Node {
  readonly clock = new FakeClock();
  readonly device = new Device();
  /** Configs and signals that programs were told of. */
  readonly told: [string, readonly string[]][] = [];
  error: CoveyError | undefined;
  canReload = true;
  record: TaskRecord | undefined;
  status: TaskStatus | undefined;
  #manager: TaskManager | undefined;

  start(first?: Task): void {
    const scripted = this.device.executor();
    const reload = (task: Task, _: unknown, signals: readonly string[], _handle: Handle) => {
      if (this.error) return Promise.reject(this.error);
      this.told.push([task.Spec.ProcessSpec!.Configs![0]!.ConfigID, signals]);
      return Promise.resolve();
    };
    const executor: Executor = Object.assign(Object.create(scripted) as Executor, {
      name: "scripted",
      runtime: "process",
      capabilities: this.canReload ? ["reload"] : [],
      controller: (task: Task) => scripted.controller(task),
      recover: (task: Task, handle: Handle) => scripted.recover(task, handle),
      reload,
    });
    const status = { Timestamp: "", State: "assigned" as const, Message: "" };
    const record = first ? { task: first, status, assigned: true } : this.record!;
    this.#manager = new TaskManager(record, first === undefined, {
      dependencies: NO_DEPENDENCIES,
      clock: this.clock,
      executor,
      limiter: new StartLimiter(this.clock, 1),
      node: () => Promise.resolve(DESCRIPTION),
      connected: () => true,
      rebooted: false,
      onRecord: (next) => this.record = next,
      onStatus: (_, next) => this.status = next,
    });
  }

  async update(next: Task): Promise<void> {
    this.#manager!.update(next);
    await this.clock.advance(1000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#manager?.stop();
  }
}

async function running(): Promise<Node> {
  const node = new Node();
  node.start(configured("1"));
  await node.clock.advance(1000);
  assert.equal(node.status?.State, "running");
  return node;
}

Deno.test("Reload: a running program is told once, and runs on", async () => {
  await using node = await running();
  await node.update(configured("2"));
  assert.deepEqual(node.told, [["2", ["HUP"]]]);
  assert.deepEqual([node.status!.State, node.record!.reload], ["running", undefined]);
  assert.equal(node.device.program("a").calls.filter((call) => call === "start").length, 1);
  // What changes nothing of it says nothing.
  await node.update({ ...configured("2"), DesiredState: "running" });
  assert.equal(node.told.length, 1);
});

Deno.test("Reload: what could not be told yet is told later, also by the next agent", async () => {
  await using node = await running();
  node.error = new CoveyError("unavailable", "Cannot read config c: no manager has sent it yet");
  await node.update(configured("2"));
  assert.deepEqual([node.told, node.status!.State, node.record!.reload], [[], "running", ["HUP"]]);
  assert.match(node.status!.Err!, /no manager has sent it yet/);
  await node[Symbol.asyncDispose]();
  node.error = undefined;
  node.start();
  await node.clock.advance(10_000);
  assert.deepEqual(node.told, [["2", ["HUP"]]]);
  assert.equal(node.status!.Err, undefined);
});

Deno.test("Reload: a program that cannot be told ends, with the reason, so that another takes its place", async () => {
  await using node = await running();
  node.error = new CoveyError("failed_precondition", "Cannot keep the task's secrets: no room");
  await node.update(configured("2"));
  assert.deepEqual([node.status!.State, node.status!.Err], ["failed", node.error.message]);
  assert.deepEqual(node.device.running, []);
});

Deno.test("Reload: a program that does not run yet is made ready anew; so is one whose executor cannot tell it", async () => {
  await using node = await running();
  await node[Symbol.asyncDispose]();
  node.canReload = false;
  node.start();
  await node.clock.advance(1000);
  await node.update(configured("2"));
  assert.equal(node.status!.State, "running");
  assert.equal(node.device.program("a").calls.filter((call) => call === "start").length, 2);
  assert.deepEqual(node.told, []);
});

Deno.test("Reload: restarts of the program before are not held against what it is told of", async () => {
  for (const canReload of [true, false]) {
    await using node = await running();
    await node[Symbol.asyncDispose]();
    const { record } = node;
    const Restarts = ["2026-01-01T00:00:00.000Z"];
    node.record = { ...record!, status: { ...record!.status, Restarts } };
    node.canReload = canReload;
    node.start();
    await node.clock.advance(1000);
    assert.deepEqual(node.record.status.Restarts, Restarts);
    await node.update(configured("2"));
    assert.deepEqual([node.status!.State, node.status!.Restarts], ["running", undefined]);
  }
});
