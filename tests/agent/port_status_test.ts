/** The host's ports in a task's status. */
import assert from "node:assert/strict";
import type { PortConfig } from "../../api/service.ts";
import type { TaskStatus } from "../../api/task.ts";
import { StartLimiter } from "../../agent/start_limiter.ts";
import { TaskManager } from "../../agent/task_manager.ts";
import { type Executor, NO_DEPENDENCIES } from "../../executors/executor.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { task } from "../manager/store/objects.ts";
import { Device } from "./support/scripted_executor.ts";

const given: PortConfig = { Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" };
const chosen: PortConfig = { ...given, TargetPort: 81, PublishedPort: 32_768 };
const open: PortConfig = { Protocol: "tcp", TargetPort: 81, PublishMode: "host" };

/** The ports in each status of a task with two ports, from its start to its end. */
async function portsOf(
  executor: (device: Device) => Executor,
): Promise<[string, PortConfig[] | undefined][]> {
  const clock = new FakeClock(), device = new Device(), statuses: TaskStatus[] = [];
  const base = task("a", "s", "n");
  const record = {
    task: { ...base, Spec: { ...base.Spec, Runtime: "process" }, Ports: [given, open] },
    status: { Timestamp: "", State: "assigned" as const, Message: "" },
    assigned: true,
  };
  const manager = new TaskManager(record, false, {
    dependencies: NO_DEPENDENCIES,
    clock,
    executor: executor(device),
    node: () => Promise.reject(new Error("nobody asks")),
    limiter: new StartLimiter(clock, 1),
    connected: () => true,
    rebooted: false,
    onRecord: () => {},
    onStatus: (_id, status) => statuses.push(status),
  });
  await clock.advance(1000);
  device.program("a").exit(0);
  await clock.advance(1000);
  await manager.stop();
  return statuses.filter(({ State }) => State === "running" || State === "complete")
    .map(({ State, PortStatus }) => [State, PortStatus?.Ports]);
}

Deno.test("Task manager: a running task shows the ports that its executor tells of, one that has ended none", async () => {
  const told = await portsOf((device) => {
    const executor = device.executor();
    const controller = async (...of: Parameters<Executor["controller"]>) =>
      Object.assign(await executor.controller(...of), { ports: () => Promise.resolve([given, chosen]) });
    return Object.assign(Object.create(executor) as Executor, {
      controller,
      name: "telling",
      runtime: "process",
    });
  });
  assert.deepEqual(told, [["running", [given, chosen]], ["complete", undefined]]);
});

Deno.test("Task manager: where the executor does not tell, the ports are those that the service fixed", async () => {
  assert.deepEqual(await portsOf((device) => device.executor()), [["running", [given]], [
    "complete",
    undefined,
  ]]);
});
