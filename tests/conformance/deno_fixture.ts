import type { DenoSpec } from "../../api/deno_spec.ts";
import type { Limits } from "../../api/objects.ts";
import type { Task } from "../../api/task.ts";
import { createDenoExecutor } from "../../executors/deno/deno_executor.ts";
import type { Exit } from "../../executors/executor.ts";
import type { ProcessOptions } from "../../executors/process/process_executor.ts";
import type { Fixture, Program } from "./executor_conformance.ts";
import { programFixture } from "./process_fixture.ts";
import { taskWith } from "./tasks.ts";
import { programLog } from "../support/program_log.ts";

/** A task that runs a module with Deno. */
export function denoTask(spec: DenoSpec, limits?: Limits): Task {
  return taskWith({ Runtime: "deno", DenoSpec: spec, ...(limits && { Resources: { Limits: limits } }) });
}

function specOf(program: Program): DenoSpec {
  if (program === "forever") return { Source: "setInterval(() => {}, 1e6);" };
  if (program === "missing") return { Module: "/nonexistent/module.ts" };
  if (program === "bad") return { Module: "relative/module.ts" };
  if (program === "prints") {
    return { Source: 'console.log("one"); console.error("two"); console.log("three");' };
  }
  if (program === "stubborn") {
    return { Source: "setInterval(() => {}, 1e6);", StopSignal: "SIGWINCH", StopGracePeriod: 1e8 };
  }
  return { Source: `Deno.exit(${program.exit});` };
}

/** The deno executor on a folder of its own. */
export function denoFixture(options: ProcessOptions = {}): Promise<Fixture & { stateDir: string }> {
  return programFixture(createDenoExecutor, (program) => denoTask(specOf(program)), options);
}

/** Runs a task to its end; how it ended and what it logged. */
export async function ranTask(
  world: Fixture & { stateDir: string },
  task: Task,
): Promise<{ exit: Exit; log: string }> {
  const executor = await world.executor();
  const never = new AbortController().signal;
  try {
    const controller = await executor.controller(task);
    await controller.prepare(never);
    await controller.start(never);
    const exit = await controller.wait(never);
    const log = await programLog(world.stateDir, task.ID);
    await controller.remove(never);
    return { exit, log };
  } finally {
    await executor.close();
  }
}
