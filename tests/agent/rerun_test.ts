/** A task that is run again in place, and an agent that ends in the middle of it. */
import assert from "node:assert/strict";
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
function takeUp(record: TaskRecord, world: MockWorld, clock: FakeClock, records: TaskRecord[]): TaskManager {
  return new TaskManager(record, true, {
    dependencies: { read: () => Promise.reject(new Error("nothing is referenced")) },
    clock,
    executor: createMockExecutor(world),
    node: () => Promise.reject(new Error("nobody asks")),
    limiter: new StartLimiter(clock, 1),
    connected: () => false,
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
