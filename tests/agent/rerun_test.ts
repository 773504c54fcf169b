/** A task that is run again in place, and an agent that ends in the middle of it. */
import assert from "node:assert/strict";
import type { RestartPolicy } from "../../api/service.ts";
import type { TaskRecord } from "../../agent/local_state.ts";
import { StartLimiter } from "../../agent/start_limiter.ts";
import { TaskManager } from "../../agent/task_manager.ts";
import { createMockExecutor, RUNTIME_MOCK } from "../../executors/mock/mock_executor.ts";
import { MockWorld } from "../../executors/mock/mock_world.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { task } from "../manager/store/objects.ts";

/** A task that its manager takes for running. */
function runningTask(payload: Record<string, number>): TaskRecord {
  const base = task("a", "s", "n");
  return {
    task: { ...base, Spec: { ...base.Spec, Runtime: RUNTIME_MOCK, GenericSpec: { Payload: payload } } },
    status: { Timestamp: "", State: "running", Message: "started" },
    handle: { version: 1, data: { TaskID: "a" } },
    assigned: true,
  };
}

/** Takes a task up on `world`; `records` gets what is to be kept of it. */
function takeUp(
  record: TaskRecord,
  world: MockWorld,
  clock: FakeClock,
  records: TaskRecord[],
  connected = false,
): TaskManager {
  return new TaskManager(record, true, {
    dependencies: { read: () => Promise.reject(new Error("nothing is referenced")) },
    clock,
    executor: createMockExecutor(world),
    node: () => Promise.reject(new Error("nobody asks")),
    limiter: new StartLimiter(clock, 1),
    connected: () => connected,
    rebooted: true,
    onRecord: (next) => records.push(next),
    onStatus: () => {},
  });
}

Deno.test("Task manager: what was prepared for another run when the agent ended is started (simulation seed 39)", async () => {
  const clock = new FakeClock(), world = new MockWorld(clock), records: TaskRecord[] = [];
  const first = takeUp(runningTask({ StartMs: 1000 }), world, clock, records);
  await clock.advance(500);
  assert.equal(world.programs.get("a")?.started, false);
  await first.stop();
  const second = takeUp(records.at(-1)!, world, clock, records);
  await clock.advance(1500);
  assert.equal(world.programs.get("a")?.started, true);
  assert.equal(records.at(-1)!.phase, undefined);
  assert.ok(records.every(({ status }) => status.State === "running"), "the reported state never goes back");
  await second.stop();
});

/** What becomes of a job's task that is found ended after a reboot: its state, and whether it was run again. */
async function afterReboot(exitCode: number, policy: RestartPolicy, connected: boolean) {
  const clock = new FakeClock(), world = new MockWorld(clock), records: TaskRecord[] = [];
  const record = runningTask({});
  record.task.DesiredState = "complete";
  record.task.JobIteration = { Index: 0 };
  record.task.Spec.RestartPolicy = policy;
  const before = world.create("a");
  world.launch("a", undefined, 0);
  world.end("a", { ExitCode: exitCode });
  const manager = takeUp(record, world, clock, records, connected);
  await clock.advance(100);
  const now = `${(records.at(-1) ?? record).status.State}${
    world.programs.get("a") === before ? "" : ", again"
  }`;
  await clock.advance(60_000);
  const later = `${(records.at(-1) ?? record).status.State}${
    world.programs.get("a") === before ? "" : ", again"
  }`;
  await manager.stop();
  return now === later ? now : `${now}; then ${later}`;
}

Deno.test("Task manager: a job's task that completed is never run again, with a manager or without", async () => {
  for (const connected of [true, false]) {
    for (const Condition of ["any", "on-failure", "none"] as const) {
      assert.equal(await afterReboot(0, { Condition }, connected), "complete");
    }
  }
});

Deno.test("Task manager: a job's task that a reboot cut short is run again or reported, as its policy says", async () => {
  for (const Condition of ["any", "on-failure"] as const) {
    for (const connected of [true, false]) {
      assert.equal(await afterReboot(137, { Condition }, connected), "running, again");
    }
  }
  for (const connected of [true, false]) {
    assert.equal(await afterReboot(137, { Condition: "none" }, connected), "failed");
  }
  // The manager counts the attempts; without one the agent does, after the policy's delay.
  assert.equal(await afterReboot(137, { MaxAttempts: 2 }, true), "failed");
  assert.equal(await afterReboot(137, { MaxAttempts: 2 }, false), "running; then running, again");
});
