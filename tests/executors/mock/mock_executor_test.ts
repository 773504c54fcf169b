import assert from "node:assert/strict";
import { createMockExecutor } from "../../../executors/mock/mock_executor.ts";
import { MockWorld } from "../../../executors/mock/mock_world.ts";
import { taskWith } from "../../conformance/tasks.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const never = new AbortController().signal;

async function scripted(script: object) {
  const clock = new FakeClock(), world = new MockWorld(clock);
  const task = taskWith({ Runtime: "mock", GenericSpec: { Payload: script } });
  const controller = await createMockExecutor(world).controller(task);
  return { clock, world, task, controller };
}

Deno.test("Mock: delays and run time follow the clock that is handed in", async () => {
  const { clock, controller } = await scripted({ PrepareMs: 100, StartMs: 200, RunMs: 1000, ExitCode: 7 });
  const steps: string[] = [];
  const life = (async () => {
    await controller.prepare(never);
    steps.push(`prepared ${clock.monotonic() % 1e5}`);
    await controller.start(never);
    steps.push(`started ${clock.monotonic() % 1e5}`);
    steps.push(`exit ${(await controller.wait(never)).ExitCode} ${clock.monotonic() % 1e5}`);
  })();
  await clock.advance(5000);
  await life;
  assert.deepEqual(steps, ["prepared 100", "started 300", "exit 7 1300"]);
});

Deno.test("Mock: a step fails for good, or retryably as often as the script says", async () => {
  const { controller } = await scripted({ FailAt: "wait", Error: "broken" });
  await assert.rejects(controller.wait(never), {
    retryable: false,
    message: "Cannot wait mock task: broken",
  });
  const again = await scripted({ FailAt: "terminate", RetryableTimes: 2 });
  for (let i = 0; i < 2; i++) await assert.rejects(again.controller.terminate(never), { retryable: true });
  await again.controller.terminate(never);
  assert.deepEqual(again.world.calls, Array(3).fill(`terminate ${again.task.ID}`));
});

Deno.test("Mock: a blocked start hangs until it is let go or aborted", async () => {
  const { clock, world, task, controller } = await scripted({ BlockStart: true });
  const prepared = controller.prepare(never);
  await clock.advance(0);
  await prepared;
  const abort = new AbortController();
  const aborted = controller.start(abort.signal);
  await clock.advance(0);
  abort.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  const starting = controller.start(never);
  await clock.advance(0);
  assert.equal(await controller.status(), undefined);
  world.unblock(task.ID);
  await starting;
  assert.ok((await controller.status())!.PID > 0);
});
