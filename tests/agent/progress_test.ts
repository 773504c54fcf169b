import assert from "node:assert/strict";
import { callTelling, PROGRESS_PERIOD_MS } from "../../agent/progress.ts";
import { StartLimiter } from "../../agent/start_limiter.ts";
import type { Controller } from "../../executors/executor.ts";
import { FakeClock } from "../support/fake_clock.ts";

Deno.test("Progress: is told while the call goes on, and not after it", async () => {
  const clock = new FakeClock(), said: string[] = [], call = Promise.withResolvers<void>();
  const words = [undefined, "half", "more"];
  const controller = { progress: () => words.shift(), prepare: () => call.promise } as unknown as Controller;
  const done = callTelling(
    { clock, limiter: new StartLimiter(clock, 1) },
    controller,
    "prepare",
    new AbortController().signal,
    (each) => said.push(each),
  );
  for (let n = 0; n < 3; n++) await clock.advance(PROGRESS_PERIOD_MS);
  call.resolve();
  await done;
  assert.deepEqual([said, clock.pending], [["half", "more"], 0]);
});
