/** What an agent's memory is like after it was busy. */
import assert from "node:assert/strict";
import { pass, residentKB } from "../support/idle_agent.ts";
import { INSTANT } from "../support/instant_executor.ts";
import { WAVE, withWaves } from "../support/task_waves.ts";

/** The agent looks after its memory every 30 s, and once more after a busy time. */
const REST_MS = 62_000;
const LOOK_MS = 1_000;
const TASKS = 2000;
/** What the C library kept was 12 after 2,000 already, and is 2 now. */
const MAX_PERCENT_MORE = 8;

Deno.test({
  name: "Agent: after 2,000 tasks that started and stopped its memory is what it was before",
  ignore: Deno.build.os !== "linux", // reason: it reads /proc
  fn: () =>
    withWaves(INSTANT, async (waves) => {
      await waves.pass(WAVE);
      await pass(REST_MS);
      const before = residentKB(waves.pid);
      await waves.pass(TASKS);
      let more = Infinity;
      for (let waited = 0; waited < REST_MS && more > MAX_PERCENT_MORE; waited += LOOK_MS) {
        await pass(LOOK_MS);
        more = 100 * residentKB(waves.pid) / before - 100;
      }
      assert.ok(more <= MAX_PERCENT_MORE, `${before} kB before, ${more.toFixed(1)} % more after it`);
    }),
});
