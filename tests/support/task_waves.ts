/** Tasks by the hundred that start, run and are taken away again, on an agent's process. */
import { fileURLToPath } from "node:url";
import type { TaskSpec } from "../../api/service.ts";
import { RealManager } from "../agent/support/real_manager.ts";
import { testTask } from "../manager/dispatcher/harness.ts";
import { INSTANT } from "./instant_executor.ts";
import { inFolder, Program, ROOT } from "./programs.ts";

/** Tasks at a time. */
export const WAVE = 100;

const MODULE = fileURLToPath(new URL("instant_executor.ts", import.meta.url));

const SPECS: Record<string, TaskSpec> = {
  [INSTANT]: { ForceUpdate: 0, Runtime: INSTANT },
  process: {
    ForceUpdate: 0,
    Runtime: "process",
    ProcessSpec: { Command: "/bin/sleep", Args: ["1000"], StopGracePeriod: 1e8 },
  },
};

/** An agent, and what gives it tasks. */
export interface Waves {
  pid: number;
  /** Resolves when `count` tasks have come and gone, {@linkcode WAVE} at a time. */
  pass(count: number): Promise<void>;
}

/** Calls `use` with an agent that is ready for tasks of `runtime`. */
export function withWaves(runtime: string, use: (waves: Waves) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const manager = await RealManager.start();
    const join = ["--join", manager.address, "--token", manager.token];
    const flags = ["--docker", "none", "--state-dir", `${folder}/agent`, "--executor", MODULE];
    const agent = new Program(`${ROOT}agent/launch.sh`, [...flags, ...join]);
    try {
      const nodeID = await manager.readyNode();
      let done = 0;
      await use({
        pid: agent.pid,
        async pass(count) {
          for (const end = done + count; done < end; done += WAVE) {
            await wave(manager, nodeID, runtime, `t${done}n`, Math.min(WAVE, end - done));
          }
        },
      });
    } finally {
      await agent.end();
      await manager.stop();
    }
  });
}

async function wave(manager: RealManager, nodeID: string, runtime: string, prefix: string, count: number) {
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
