import assert from "node:assert/strict";
import type { Task } from "../../api/task.ts";
import { drain } from "../../executors/drain.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

Deno.test("Drain: a task in networks ends when nobody sends it anything new and what was asked is answered, another at once", async () => {
  const clock = new FakeClock(), { promise, resolve } = Promise.withResolvers<void>(), asked: string[] = [];
  const networks = {
    drained: (id: string) => {
      asked.push(id);
      return promise;
    },
  };
  const never = new AbortController().signal;
  await drain({ ID: "plain" } as Task, networks, clock, never);
  let isOver = false;
  const task = { ID: "t", NetworkAttachments: [{ NetworkID: "n", Addresses: [] }] } as unknown as Task;
  const done = drain(task, networks, clock, never).then(() => isOver = true);
  await clock.advance(60_000);
  assert.ok(!isOver);
  resolve();
  await settle();
  await clock.advance(999);
  assert.ok(!isOver, "who asked last has yet to be answered");
  await clock.advance(1);
  await done;
  assert.deepEqual(asked, ["t"]);
});
