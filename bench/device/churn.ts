/** What an agent takes after very many tasks were started and stopped. */
import { pass } from "../../tests/support/idle_agent.ts";
import { WAVE, withWaves } from "../../tests/support/task_waves.ts";
import { inWords, memoryOf } from "./memory.ts";

/** The agent looks after its memory in that time. */
const REST_MS = 60_000;
const REPORT_EVERY = 20_000;

/**
 * Starts and stops `count` tasks of `runtime`, and prints the agent's memory before and after. The first wave is no part of what
 * is compared.
 */
export async function measureChurn(runtime: string, count: number): Promise<void> {
  await withWaves(runtime, async (waves) => {
    await waves.pass(WAVE);
    await pass(REST_MS);
    const before = memoryOf(waves.pid);
    console.log(`${runtime}, after the first ${WAVE} tasks: ${inWords(before)}`);
    for (let done = 0; done < count; done += REPORT_EVERY) {
      const next = Math.min(REPORT_EVERY, count - done);
      await waves.pass(next);
      console.log(`  ${done + next}: ${inWords(memoryOf(waves.pid))}`);
    }
    await pass(REST_MS);
    const after = memoryOf(waves.pid);
    console.log(`${runtime}, after ${count} more: ${inWords(after)}`);
    console.log(`resident ${(100 * after.rss / before.rss - 100).toFixed(1)} % more`);
  });
}
