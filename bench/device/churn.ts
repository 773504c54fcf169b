/** What an agent takes after very many tasks were started and stopped. */
import { fileURLToPath } from "node:url";
import type { TaskSpec } from "../../api/service.ts";
import { RealManager } from "../../tests/agent/support/real_manager.ts";
import { testTask } from "../../tests/manager/dispatcher/harness.ts";
import { pass } from "../../tests/support/idle_agent.ts";
import { inFolder, Program, ROOT } from "../../tests/support/programs.ts";
import { INSTANT } from "./instant.ts";
import { inWords, memoryOf } from "./memory.ts";

/** Tasks at a time; the first wave is no part of what is compared. */
const WAVE = 100;
/** The agent looks after its memory in that time. */
const REST_MS = 60_000;
const REPORT_EVERY = 20_000;
const MODULE = fileURLToPath(new URL("instant.ts", import.meta.url));

const SPECS: Record<string, TaskSpec> = {
  [INSTANT]: { ForceUpdate: 0, Runtime: INSTANT },
  process: {
    ForceUpdate: 0,
    Runtime: "process",
    ProcessSpec: { Command: "/bin/sleep", Args: ["1000"], StopGracePeriod: 1e8 },
  },
};

/** Starts and stops `count` tasks of `runtime`, and prints the agent's memory before and after. */
export async function measureChurn(runtime: string, count: number): Promise<void> {
  await inFolder(async (folder) => {
    const manager = await RealManager.start();
    const flags = ["--docker", "none", "--state-dir", `${folder}/agent`, "--executor", MODULE];
    const agent = new Program(`${ROOT}agent/launch.sh`, [
      ...flags,
      "--join",
      manager.address,
      "--token",
      manager.token,
    ]);
    const nodeID = await manager.readyNode();
    await wave(manager, nodeID, runtime, "first", WAVE);
    await pass(REST_MS);
    const before = memoryOf(agent.pid);
    console.log(`${runtime}, after the first ${WAVE} tasks: ${inWords(before)}`);
    for (let done = 0; done < count; done += WAVE) {
      await wave(manager, nodeID, runtime, `t${done}n`, Math.min(WAVE, count - done));
      if (done % REPORT_EVERY === 0) console.log(`  ${done + WAVE}: ${inWords(memoryOf(agent.pid))}`);
    }
    await pass(REST_MS);
    const after = memoryOf(agent.pid);
    console.log(`${runtime}, after ${count} more: ${inWords(after)}`);
    console.log(`resident ${(100 * after.rss / before.rss - 100).toFixed(1)} % more`);
    await agent.end();
    await manager.stop();
  });
}

/** Tasks that start, run and are taken away again. */
async function wave(
  manager: RealManager,
  nodeID: string,
  runtime: string,
  prefix: string,
  count: number,
): Promise<void> {
  const ids = Array.from({ length: count }, (_, n) => `${prefix}${n}`);
  await manager.store.batch(
    ids,
    (tx, id) => tx.create("tasks", testTask(id, nodeID, { Spec: SPECS[runtime]! })),
  );
  await manager.until(() => manager.running() === count);
  await manager.store.batch(ids, (tx, id) => {
    const task = tx.get("tasks", id)!;
    tx.update("tasks", { ...task, DesiredState: "remove" });
  });
  await manager.until(() => manager.running() === 0);
  await manager.store.batch(ids, (tx, id) => tx.delete("tasks", id));
}
