import assert from "node:assert/strict";
import { StartLimiter } from "../../agent/start_limiter.ts";
import { TaskManager } from "../../agent/task_manager.ts";
import type { Task, TaskStatus } from "../../api/task.ts";
import { type Executor, NO_DEPENDENCIES } from "../../executors/executor.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { task } from "../manager/store/objects.ts";
import { Device } from "./support/scripted_executor.ts";

/** What an executor gets of a task with `Env`, and the last status. */
async function run(Env: string[]): Promise<{ given: Task[]; status: TaskStatus | undefined }> {
  const clock = new FakeClock(), device = new Device(), given: Task[] = [];
  let status: TaskStatus | undefined;
  const scripted = device.executor();
  const executor: Executor = Object.assign(Object.create(scripted) as Executor, {
    name: "scripted",
    runtime: "process",
    controller: (task: Task) => {
      given.push(task);
      return scripted.controller(task);
    },
  });
  const base = task("a", "s", "n");
  const Spec = { ...base.Spec, Runtime: "process", ProcessSpec: { Command: "/bin/x", Env } };
  const record = {
    task: { ...base, Spec },
    status: { Timestamp: "", State: "assigned" as const, Message: "" },
    assigned: true,
  };
  const manager = new TaskManager(record, false, {
    dependencies: NO_DEPENDENCIES,
    clock,
    executor,
    limiter: new StartLimiter(clock, 1),
    node: () =>
      Promise.resolve({
        Hostname: "pi-3",
        Platform: { OS: "linux", Architecture: "arm64" },
        Resources: {},
        Engine: { EngineVersion: "" },
        Runtimes: [],
      }),
    connected: () => true,
    rebooted: false,
    onRecord: () => {},
    onStatus: (_id, next) => status = next,
  });
  await clock.advance(1000);
  await manager.stop();
  return { given, status };
}

Deno.test("Task manager: an executor gets a task with its placeholders filled in for this node", async () => {
  const { given, status } = await run(["ON={{.Node.Hostname}}", "AS={{.Task.ID}}"]);
  assert.deepEqual(given.map(({ Spec }) => Spec.ProcessSpec!.Env), [["ON=pi-3", "AS=a"]]);
  assert.equal(status?.State, "running");
});

Deno.test("Task manager: a placeholder that cannot be filled in rejects the task, which says why", async () => {
  const { given, status } = await run(["ON={{.Node.Secret}}"]);
  assert.deepEqual([given, status?.State], [[], "rejected"]);
  assert.match(status!.Err!, /can't evaluate field Secret/);
});
