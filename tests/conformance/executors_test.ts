import { systemClock } from "../../api/clock.ts";
import { createMockExecutor } from "../../executors/mock/mock_executor.ts";
import { MockWorld } from "../../executors/mock/mock_world.ts";
import timerExecutor from "../../examples/executor/timer.ts";
import { denoFixture } from "./deno_fixture.ts";
import { dockerFixture, NO_ENGINE } from "./docker_fixture.ts";
import { executorConformance, type Fixture, type Program } from "./executor_conformance.ts";
import { processFixture } from "./process_fixture.ts";
import { NODE_ID, taskWith } from "./tasks.ts";

function mockFixture(): Promise<Fixture> {
  const world = new MockWorld(systemClock);
  const script = (program: Program) => {
    if (program === "forever") return {};
    if (program === "stubborn") return { IgnoreStop: true, GraceMs: 1 };
    if (program === "missing") return { FailAt: "prepare", Error: "no such program" };
    if (program === "bad") return { ExitCode: "three" };
    if (program === "prints") return { RunMs: 1, Output: "one\nthree\n", Errors: "two\n" };
    return { RunMs: 1, ExitCode: program.exit };
  };
  return Promise.resolve({
    executor: () => Promise.resolve(createMockExecutor(world)),
    task: (program) => taskWith({ Runtime: "mock", GenericSpec: { Payload: script(program) } }),
    vanish: (task) => Promise.resolve(world.vanish(task.ID)),
    traces: (task) => Promise.resolve(world.programs.has(task.ID) ? [task.ID] : []),
    close: () => Promise.resolve(),
  });
}

async function timerFixture(): Promise<Fixture> {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-timer-" });
  const fileOf = (id: string) => `${stateDir}/${id}.json`;
  const payload = (program: Program) => {
    if (program === "bad") return { Seconds: "ten" };
    return typeof program === "object" ? { Seconds: 0.001, ExitCode: program.exit } : {};
  };
  return {
    executor: () => Promise.resolve(timerExecutor({ stateDir, nodeID: NODE_ID })),
    task: (program) => {
      // A timer has no stop signal to ignore and nothing that could be missing.
      if (program === "stubborn" || program === "missing" || program === "prints") return undefined;
      return taskWith({ Runtime: "timer", GenericSpec: { Payload: payload(program) } });
    },
    vanish: (task) => Deno.remove(fileOf(task.ID)),
    traces: (task) => Deno.stat(fileOf(task.ID)).then(() => [fileOf(task.ID)], () => []),
    close: () => Deno.remove(stateDir, { recursive: true }),
  };
}

executorConformance("mock", mockFixture);
executorConformance("example", timerFixture);
executorConformance("process", processFixture);
executorConformance("deno", denoFixture);
if (NO_ENGINE === "") executorConformance("docker", dockerFixture);
else {
  Deno.test({
    name: `Executor: docker: skipped, as ${NO_ENGINE}`,
    ignore: NO_ENGINE !== "", // the variable holds the reason
    fn() {},
  });
}
