/** What every executor must do for an agent that was killed, and for the one after it. */
import assert from "node:assert/strict";
import type { Controller } from "../../executors/executor.ts";
import { begun, never, type Register, withCode } from "./executor_conformance.ts";

/** Registers those tests. */
export function recovery(test: Register): void {
  /** What the agent's store keeps of a handle. */
  const stored = (controller: Controller) => {
    const handle = controller.handle()!;
    const copy = JSON.parse(JSON.stringify(handle));
    assert.deepEqual(copy, handle, "a handle is plain JSON");
    assert.ok(Number.isInteger(handle.version) && handle.version > 0, "a handle has a version");
    return copy;
  };

  test("a program survives its executor and is found again by its handle", async (fixture, executor) => {
    const task = fixture.task("forever")!;
    const first = await begun(executor, task);
    const handle = stored(first), before = await first.status();
    await first.close();
    await executor.close();

    const next = await fixture.executor();
    try {
      const second = await next.recover(task, handle);
      assert.deepEqual(await second.status(), before);
      assert.deepEqual(second.handle(), handle);
      await second.start(never);
      assert.deepEqual(await second.status(), before, "a start after recovery starts nothing");
      const waiting = second.wait(never);
      await second.shutdown(never);
      assert.notEqual((await waiting).ExitCode, 0);
      await second.remove(never);
      await second.close();
      assert.deepEqual(await fixture.traces(task), []);
    } finally {
      await next.close();
    }
  });

  test(
    "the exit code of a program that ended without an agent is there afterwards",
    async (fixture, executor) => {
      const task = fixture.task({ exit: 5 })!;
      const first = await begun(executor, task);
      const handle = stored(first);
      await first.close();
      await executor.close();

      const next = await fixture.executor();
      try {
        const second = await next.recover(task, handle);
        assert.equal((await second.wait(never)).ExitCode, 5);
        await second.remove(never);
        await second.close();
      } finally {
        await next.close();
      }
    },
  );

  test("an agent that died before it stored the handle starts nothing twice", async (fixture, executor) => {
    const task = fixture.task("forever")!;
    const first = await begun(executor, task);
    const before = await first.status();
    await first.close();
    await executor.close();

    const next = await fixture.executor();
    try {
      const second = await begun(next, task);
      assert.deepEqual(await second.status(), before);
      await second.remove(never);
      await second.close();
      assert.deepEqual(await fixture.traces(task), []);
    } finally {
      await next.close();
    }
  });

  test(
    "an agent that died before it stored the handle has left nothing that cannot be stopped",
    async (fixture, executor) => {
      const task = fixture.task("forever")!;
      const first = await begun(executor, task);
      const next = await fixture.executor();
      try {
        const second = await next.controller(task);
        await second.shutdown(never);
        assert.notEqual((await second.wait(never)).ExitCode, 0);
        await second.remove(never);
        assert.deepEqual(await fixture.traces(task), []);
        await second.close();
      } finally {
        await next.close();
      }
      await first.close();
    },
  );

  test(
    "what an agent that died was about to start does not run after a shutdown",
    async (fixture, executor) => {
      const task = fixture.task("forever")!;
      const first = await executor.controller(task);
      await first.prepare(never);
      const handle = stored(first), next = await fixture.executor();
      try {
        const second = await next.recover(task, handle).catch(() => next.controller(task));
        await second.shutdown(never);
        await first.start(never);
        // Where it cannot be kept from starting, it is told of.
        if (second.revived) {
          await second.revived(never);
          await second.shutdown(never);
        }
        for (const controller of [first, second]) assert.ok(!(await controller.status())?.PID);
        await second.remove(never);
        assert.deepEqual(await fixture.traces(task), []);
        await second.close();
      } finally {
        await next.close();
      }
      await first.close();
    },
  );

  test("recovering a vanished task says not_found", async (fixture, executor) => {
    const task = fixture.task("forever")!;
    const first = await begun(executor, task);
    const handle = stored(first);
    await first.close();
    await fixture.vanish(task, first);
    await executor.close();

    const next = await fixture.executor();
    try {
      await assert.rejects(next.recover(task, handle), withCode("not_found"));
      await assert.rejects(next.recover(task, { ...handle, version: 999 }), withCode("not_found"));
    } finally {
      await next.close();
    }
  });
}
