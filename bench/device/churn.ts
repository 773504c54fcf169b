/** What an agent takes after very many tasks were started and stopped, kept as on a device: one that has grown is renewed. */
import assert from "node:assert/strict";
import { pass } from "../../tests/support/idle_agent.ts";
import { WAVE, type Waves, withWaves } from "../../tests/support/task_waves.ts";
import { inWords, type Memory, memoryOf } from "./memory.ts";

/** The agent looks after its memory every 30 s, and once more after a busy time. */
const REST_MS = 95_000;
const REPORT_EVERY = 20_000;
const LOOK_MS = 500;
/** Beyond its limit an agent is renewed within that: two looks, a collection in between. */
const RENEWED_MS = 150_000;

/**
 * Starts and stops `count` tasks of `runtime`, and prints the agent's memory before and after. The first wave is no part of what
 * is compared. Programs run all the while, and have to be the same in the end. An agent may be renewed `renewAfter` seconds after
 * its start.
 */
export async function measureChurn(runtime: string, count: number, renewAfter: number): Promise<void> {
  await withWaves(runtime, async (waves) => {
    const started = performance.now();
    await waves.pass(WAVE);
    await pass(REST_MS);
    const before = memoryOf(waves.pid), steady = waves.steady();
    console.log(`${runtime}, after the first ${WAVE} tasks: ${inWords(before)}`);
    for (let done = 0; done < count; done += REPORT_EVERY) {
      const next = Math.min(REPORT_EVERY, count - done);
      await waves.pass(next);
      console.log(`  ${done + next}: ${inWords(memoryOf(waves.pid))}, renewed ${waves.renewals} times`);
    }
    await pass(REST_MS);
    console.log(`${runtime}, after ${count} more: ${compared(before, memoryOf(waves.pid))}`);
    await untilRenewed(waves, started + renewAfter * 1000 + RENEWED_MS);
    if (waves.renewals > 0) await pass(REST_MS);
    await waves.ready();
    for (const line of waves.renewed()) console.log(`  ${line}`);
    console.log(`renewed ${waves.renewals} times: ${compared(before, memoryOf(waves.pid))}`);
    assert.deepEqual(waves.steady(), steady);
    console.log(`${steady.length} programs ran all the while, the same processes in the end: ${steady}`);
  }, ["--renew-after", String(renewAfter)]);
}

/** Waits for the agent to be renewed, until `limitMs` (of `performance.now`). */
async function untilRenewed(waves: Waves, limitMs: number): Promise<void> {
  while (waves.renewals === 0 && performance.now() < limitMs) await pass(LOOK_MS);
}

function compared(before: Memory, after: Memory): string {
  return `${inWords(after)}; resident ${(100 * after.rss / before.rss - 100).toFixed(1)} % more`;
}
