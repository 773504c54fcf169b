/** What every executor must do, whatever it runs. One suite for all of them; a fixture brings an executor and its world. */
import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { isLogTime, LOG_STREAMS } from "../../api/logs.ts";
import type { Task } from "../../api/task.ts";
import { enters } from "./enter_conformance.ts";
import { recovery } from "./recovery_conformance.ts";
import {
  brokenPromises,
  can,
  type Controller,
  type Executor,
  type LogStep,
  NO_DEPENDENCIES,
} from "../../executors/executor.ts";

/** What a task's program does. */
export type Program =
  /** Ends by itself with this code, soon. */
  | { exit: number }
  /** Runs until it is stopped, and then ends at once. */
  | "forever"
  /** Runs until it is killed; its grace period is short. */
  | "stubborn"
  /** Prints `one` and `three` to its output, `two` to its errors, and ends. */
  | "prints"
  /** Its image or executable does not exist. */
  | "missing"
  /** Its spec is not one this executor can run. */
  | "bad";

/** One executor under test. */
export interface Fixture {
  /** An executor object on the same world as the last: what a restarted agent makes. */
  executor(): Promise<Executor>;
  /** A new task with a unique ID; undefined if the executor has no such thing as this program. */
  task(program: Program): Task | undefined;
  /** Takes everything of the task away behind the executor's back. */
  vanish(task: Task, controller: Controller): Promise<void>;
  /** What is left of the task on the node, as names; empty after a removal. */
  traces(task: Task): Promise<string[]>;
  /** Removes whatever the tests left. */
  close(): Promise<void>;
}

export const never = new AbortController().signal;

async function using(open: () => Promise<Fixture>, run: (fixture: Fixture) => Promise<void>) {
  const fixture = await open();
  try {
    await run(fixture);
  } finally {
    await fixture.close();
  }
}

/** A controller of a program that runs. */
export async function begun(executor: Executor, task: Task): Promise<Controller> {
  const controller = await executor.controller(task);
  await controller.prepare(never);
  await controller.start(never);
  return controller;
}

export const withCode = (...codes: string[]) => (error: unknown) =>
  error instanceof CoveyError && codes.includes(error.code) && !error.retryable;

/** Registers the suite for one executor. */
export function executorConformance(name: string, open: () => Promise<Fixture>): void {
  const test = (behaviour: string, run: (fixture: Fixture, executor: Executor) => Promise<void>) =>
    Deno.test(`Executor: ${name}: ${behaviour}`, () =>
      using(open, async (fixture) => {
        const executor = await fixture.executor();
        try {
          await run(fixture, executor);
        } finally {
          await executor.close();
        }
      }));
  lifeCycle(test);
  recovery(test);
  refusals(test);
  capabilities(test);
  logs(test);
  enters(test);
}

export type Register = (
  behaviour: string,
  run: (fixture: Fixture, executor: Executor) => Promise<void>,
) => void;

function lifeCycle(test: Register): void {
  for (const code of [0, 3]) {
    test(`reports exit code ${code}, as often as it is asked`, async (fixture, executor) => {
      const task = fixture.task({ exit: code })!;
      const controller = await begun(executor, task);
      assert.equal((await controller.wait(never)).ExitCode, code);
      assert.equal((await controller.wait(never)).ExitCode, code);
      assert.equal((await controller.status())?.ExitCode, code);
      await controller.remove(never);
      await controller.close();
    });
  }

  test("prepare, start, shutdown and remove may be repeated", async (fixture, executor) => {
    const task = fixture.task("forever")!;
    const controller = await executor.controller(task);
    await controller.prepare(never);
    await controller.prepare(never);
    await controller.start(never);
    const status = await controller.status();
    await controller.start(never);
    assert.deepEqual(await controller.status(), status, "a second start starts nothing");
    await controller.update(task);
    await controller.shutdown(never);
    await controller.shutdown(never);
    await controller.terminate(never);
    await controller.remove(never);
    await controller.remove(never);
    assert.deepEqual(await fixture.traces(task), []);
    await controller.close();
  });

  test("a start after the end runs nothing again", async (fixture, executor) => {
    const controller = await begun(executor, fixture.task({ exit: 4 })!);
    await controller.wait(never);
    await controller.start(never);
    assert.equal((await controller.wait(never)).ExitCode, 4);
    await controller.remove(never);
    await controller.close();
  });

  test("aborting wait leaves the program running", async (fixture, executor) => {
    const controller = await begun(executor, fixture.task("forever")!);
    const abort = new AbortController();
    const waiting = controller.wait(abort.signal);
    abort.abort(new CoveyError("canceled", "enough"));
    await assert.rejects(waiting, { code: "canceled" });
    await assert.rejects(controller.wait(AbortSignal.abort(new CoveyError("canceled", "enough"))), {
      code: "canceled",
    });
    assert.equal((await controller.status())?.ExitCode, 0);
    await controller.shutdown(never);
    assert.notEqual((await controller.wait(never)).ExitCode, 0);
    await controller.remove(never);
    await controller.close();
  });

  test("shutdown kills a program that ignores its stop signal", async (fixture, executor) => {
    const task = fixture.task("stubborn");
    if (!task) return;
    const controller = await begun(executor, task);
    await controller.shutdown(never);
    assert.equal((await controller.wait(never)).ExitCode, 137);
    await controller.remove(never);
    await controller.close();
  });

  test("terminate does not wait for the grace period", async (fixture, executor) => {
    const controller = await begun(executor, fixture.task("forever")!);
    await controller.terminate(never);
    assert.notEqual((await controller.wait(never)).ExitCode, 0);
    await controller.remove(never);
    await controller.close();
  });

  test("remove takes a running program with it", async (fixture, executor) => {
    const task = fixture.task("forever")!;
    const controller = await begun(executor, task);
    assert.notDeepEqual(await fixture.traces(task), []);
    await controller.remove(never);
    assert.deepEqual(await fixture.traces(task), []);
    await controller.close();
  });

  test("a task that was never started can be stopped and removed", async (fixture, executor) => {
    const task = fixture.task("forever")!;
    const controller = await executor.controller(task);
    await controller.shutdown(never);
    await controller.terminate(never);
    await controller.prepare(never);
    await controller.shutdown(never);
    await controller.remove(never);
    assert.deepEqual(await fixture.traces(task), []);
    await controller.close();
  });

  test("20 tasks at once each end as they should", async (fixture, executor) => {
    const codes = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const controller = await begun(executor, fixture.task(i % 2 ? { exit: i } : "forever")!);
      if (i % 2 === 0) await controller.shutdown(never);
      const { ExitCode } = await controller.wait(never);
      await controller.remove(never);
      await controller.close();
      return ExitCode;
    }));
    codes.forEach((code, i) => i % 2 ? assert.equal(code, i) : assert.notEqual(code, 0));
  });

  test("describes its part of the node", async (_fixture, executor) => {
    const { Resources } = await executor.describe(never);
    if (Resources) assert.ok(Resources.NanoCPUs! > 0 && Resources.MemoryBytes! > 0);
  });
}

function refusals(test: Register): void {
  test("there is no handle before there is anything to find", async (fixture, executor) => {
    const controller = await executor.controller(fixture.task("forever")!);
    assert.equal(controller.handle(), undefined);
    assert.equal(await controller.status(), undefined);
    await controller.close();
  });

  test("a bad spec is refused with its field", async (fixture, executor) => {
    await assert.rejects(executor.controller(fixture.task("bad")!), (error: unknown) => {
      assert.ok(error instanceof CoveyError && error.code === "invalid_argument");
      assert.ok(error.problems.length > 0 && error.problems[0]!.field.length > 0);
      return true;
    });
  });

  test("what does not exist is said to be missing, and leaves nothing", async (fixture, executor) => {
    const task = fixture.task("missing");
    if (!task) return;
    const controller = await executor.controller(task);
    await assert.rejects(async () => {
      await controller.prepare(never);
      await controller.start(never);
    }, withCode("not_found", "failed_precondition"));
    await controller.remove(never);
    assert.deepEqual(await fixture.traces(task), []);
    await controller.close();
  });

  test("an aborted call does nothing", async (fixture, executor) => {
    const task = fixture.task("forever")!;
    const controller = await executor.controller(task);
    const gone = AbortSignal.abort(new CoveyError("canceled", "enough"));
    await controller.prepare(never);
    await assert.rejects(controller.start(gone), { code: "canceled" });
    assert.ok(!(await controller.status())?.PID);
    await controller.remove(never);
    await controller.close();
  });
}

/** What came of a log, by stream. */
function printedBy(steps: Exclude<LogStep, string>[]): Record<string, string> {
  const printed: Record<string, string> = {};
  for (const { Stream, Data } of steps) {
    printed[Stream] = (printed[Stream] ?? "") + new TextDecoder().decode(Data);
  }
  return printed;
}

/** The entries of a log; `caught up` has to come once. */
async function readLog(steps: AsyncIterable<LogStep>): Promise<Exclude<LogStep, string>[]> {
  const entries: Exclude<LogStep, string>[] = [];
  let caughtUp = 0;
  for await (const step of steps) step === "caught up" ? caughtUp++ : entries.push(step);
  assert.equal(caughtUp, 1);
  assert.ok(entries.every(({ Time }) => isLogTime(Time)));
  assert.deepEqual(entries, entries.toSorted((a, b) => a.Time < b.Time ? -1 : a.Time > b.Time ? 1 : 0));
  return entries;
}

function logs(test: Register): void {
  const both = { streams: LOG_STREAMS, follow: false } as const;

  test(
    "logs gives what a program has printed, by stream, from the end and by time",
    async (fixture, executor) => {
      if (!can(executor, "logs")) return;
      const task = fixture.task("prints")!, controller = await begun(executor, task);
      await controller.wait(never);
      const handle = controller.handle()!;
      const all = await readLog(executor.logs(handle, both, never));
      assert.deepEqual(printedBy(all), { stdout: "one\nthree\n", stderr: "two\n" });
      const read = (request: object) => readLog(executor.logs(handle, { ...both, ...request }, never));
      assert.deepEqual(printedBy(await read({ streams: ["stderr"] })), { stderr: "two\n" });
      assert.deepEqual(await read({ tail: 2 }), all.slice(-2));
      assert.deepEqual(await read({ tail: 0 }), []);
      assert.deepEqual(await read({ tail: 100 }), all);
      assert.deepEqual(await read({ since: all[0]!.Time }), all);
      assert.deepEqual(await read({ after: all.at(-1)!.Time }), []);
      // Of a program that has ended there is nothing to wait for.
      assert.deepEqual(await read({ follow: true }), all);
      await controller.remove(never);
      await controller.close();
      assert.deepEqual(await read({}), [], "of a task that is gone");
    },
  );

  test("logs follows a program to its end, and lets go when nobody wants it", async (fixture, executor) => {
    if (!can(executor, "logs")) return;
    const task = fixture.task("prints")!, controller = await executor.controller(task);
    await controller.prepare(never);
    const handle = controller.handle()!;
    const forever = await begun(executor, fixture.task("forever")!);
    const gone = new AbortController(), following = { ...both, follow: true };
    const waiting = readLog(executor.logs(forever.handle()!, following, gone.signal));
    await controller.start(never);
    const followed = readLog(executor.logs(handle, following, never));
    await controller.wait(never);
    assert.deepEqual(printedBy(await followed), { stdout: "one\nthree\n", stderr: "two\n" });
    gone.abort(new CoveyError("canceled", "enough"));
    await assert.rejects(waiting, { code: "canceled" });
    for (const each of [controller, forever]) {
      await each.remove(never);
      await each.close();
    }
  });
}

/** What an executor has to do that names a capability; for one that does not, there is nothing to see. */
function capabilities(test: Register): void {
  test("has the methods of every capability that it names", (_fixture, executor) => {
    assert.deepEqual(brokenPromises(executor), []);
    return Promise.resolve();
  });

  test(
    "sweep removes what is left of unknown tasks, running or ended, and nothing else",
    async (fixture, executor) => {
      if (!can(executor, "sweep")) return;
      const [kept, running, ended] = [
        fixture.task("forever")!,
        fixture.task("forever")!,
        fixture.task({ exit: 1 })!,
      ];
      const controllers = [];
      for (const task of [kept, running, ended]) controllers.push(await begun(executor, task));
      await controllers[2]!.wait(never);
      const before = await controllers[0]!.status(), handle = controllers[0]!.handle()!;
      for (const controller of controllers) await controller.close();
      await executor.close();

      const next = await fixture.executor();
      try {
        assert.ok(can(next, "sweep"));
        const swept = await next.sweep((id) => id === kept.ID, never);
        assert.deepEqual(swept.toSorted(), [running.ID, ended.ID].toSorted());
        assert.deepEqual(await next.sweep((id) => id === kept.ID, never), []);
        for (const task of [running, ended]) assert.deepEqual(await fixture.traces(task), []);
        const controller = await next.recover(kept, handle);
        assert.deepEqual(await controller.status(), before);
        await controller.remove(never);
        await controller.close();
      } finally {
        await next.close();
      }
    },
  );

  test(
    "reload tells a running program, by the handle alone, and leaves it running",
    async (fixture, executor) => {
      if (!can(executor, "reload")) return;
      const task = fixture.task("forever")!, controller = await begun(executor, task);
      const before = await controller.status();
      await executor.reload(task, NO_DEPENDENCIES, ["WINCH"], controller.handle()!);
      assert.deepEqual(await controller.status(), before);
      await controller.remove(never);
      await controller.close();
    },
  );
}
