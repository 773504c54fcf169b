/** An executor that follows a script in the task's spec; for tests of what drives executors. */
import { sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import type { Controller, Executor, Handle, LogRequest, LogSource, LogStep, Sweeper } from "../executor.ts";
import { orAbort } from "../../api/or_abort.ts";
import { sweepEach } from "../sweep_each.ts";
import { MockController, type MockScript } from "./mock_controller.ts";
import type { MockWorld } from "./mock_world.ts";

/** The `TaskTemplate.Runtime` of the mock executor. */
export const RUNTIME_MOCK = "mock";

const FIELDS: Record<keyof MockScript, "number" | "string" | "boolean"> = {
  PrepareMs: "number",
  StartMs: "number",
  RunMs: "number",
  ExitCode: "number",
  Output: "string",
  Errors: "string",
  FailAt: "string",
  Error: "string",
  RetryableTimes: "number",
  BlockStart: "boolean",
  IgnoreStop: "boolean",
  GraceMs: "number",
};

function scriptOf(task: Task): MockScript {
  const payload = task.Spec.GenericSpec?.Payload ?? {};
  if (typeof payload !== "object") {
    throw CoveyError.invalid("run mock task", [{
      field: "GenericSpec.Payload",
      message: "must be an object",
    }]);
  }
  const problems = Object.entries(payload).flatMap(([key, value]) => {
    const field = `GenericSpec.Payload.${key}`;
    if (!Object.hasOwn(FIELDS, key)) return [{ field, message: "unknown" }];
    const type = FIELDS[key as keyof MockScript], given: string = typeof value;
    return given === type ? [] : [{ field, message: `must be a ${type}: ${value}` }];
  });
  if (problems.length > 0) throw CoveyError.invalid("run mock task", problems);
  return payload as MockScript;
}

class MockExecutor implements Executor, Sweeper, LogSource {
  readonly name = "mock";
  readonly runtime = RUNTIME_MOCK;
  readonly capabilities = ["sweep", "logs"] as const;
  readonly #world: MockWorld;

  constructor(world: MockWorld) {
    this.#world = world;
  }

  async describe(signal: AbortSignal) {
    await sleep(this.#world.clock, 0, signal);
    return { Resources: { NanoCPUs: 4e9, MemoryBytes: 2 ** 30 }, Hostname: "mock" };
  }

  // deno-lint-ignore require-await -- a bad script rejects, it does not throw
  async controller(task: Task): Promise<Controller> {
    return new MockController(this.#world, task.ID, scriptOf(task));
  }

  // deno-lint-ignore require-await -- see above
  async recover(task: Task, handle: Handle): Promise<Controller> {
    if (handle.version !== 1 || !this.#world.programs.has(task.ID)) {
      throw new CoveyError("not_found", `Cannot recover mock task: nothing is left of task ${task.ID}`);
    }
    return new MockController(this.#world, task.ID, scriptOf(task));
  }

  sweep(keep: (taskID: string) => boolean, signal: AbortSignal): Promise<string[]> {
    return sweepEach(
      [...this.#world.programs.keys()],
      keep,
      signal,
      (id) => Promise.try(() => this.#world.vanish(id)),
    );
  }

  async *logs(handle: Handle, request: LogRequest, signal: AbortSignal): AsyncGenerator<LogStep> {
    const program = this.#world.programs.get(String(handle.data.TaskID));
    const { streams, follow, tail, since = "", after = "" } = request;
    const wanted = ({ Stream, Time }: Exclude<LogStep, string>) =>
      streams.includes(Stream) && Time >= since && Time > after;
    const before = program?.lines.filter(wanted) ?? [];
    let at = program?.lines.length ?? 0;
    yield* tail === undefined ? before : before.slice(Math.max(0, before.length - tail));
    yield "caught up";
    while (follow && program) {
      const news = Promise.withResolvers<void>();
      program.readers.add(news.resolve);
      try {
        for (; at < program.lines.length; at++) if (wanted(program.lines[at]!)) yield program.lines[at]!;
        if (program.exit) return;
        await orAbort(news.promise, signal);
      } finally {
        program.readers.delete(news.resolve);
      }
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A mock executor on `world`; another one on the same world finds its programs, as a restarted agent does. */
export function createMockExecutor(world: MockWorld): Executor & Sweeper & LogSource {
  return new MockExecutor(world);
}
