/** Tasks by the hundred that start, run and are taken away again, on an agent's process. */
import { fileURLToPath } from "node:url";
import type { TaskSpec } from "../../api/service.ts";
import { RealManager } from "../agent/support/real_manager.ts";
import { testTask } from "../manager/dispatcher/harness.ts";
import { INSTANT } from "./instant_executor.ts";
import { KeptAgent } from "./kept_agent.ts";
import { inFolder } from "./programs.ts";

/** Tasks at a time. */
export const WAVE = 100;
/** Programs that run all the while. */
const STEADY = Array.from({ length: 3 }, (_, n) => `steady${n}`);

const MODULE = fileURLToPath(new URL("instant_executor.ts", import.meta.url));

const SLEEPER: TaskSpec = {
  ForceUpdate: 0,
  Runtime: "process",
  ProcessSpec: { Command: "/bin/sleep", Args: ["100000"], StopGracePeriod: 1e8 },
};
const SPECS: Record<string, TaskSpec> = {
  [INSTANT]: { ForceUpdate: 0, Runtime: INSTANT },
  process: SLEEPER,
};

/** An agent, and what gives it tasks. */
export interface Waves {
  /** Of the agent that runs now. */
  readonly pid: number;
  /** How often the agent has asked to be started again, and was. */
  readonly renewals: number;
  /** What it said each time. */
  renewed(): string[];
  /** Resolves when `count` tasks have come and gone, {@linkcode WAVE} at a time. */
  pass(count: number): Promise<void>;
  /** The programs that run all the while, each by its number and when it was started. */
  steady(): string[];
  /** Resolves once the manager counts the node as ready. */
  ready(): Promise<void>;
}

/** Calls `use` with an agent that is ready for tasks of `runtime`; `flags` are added to its own. */
export function withWaves(
  runtime: string,
  use: (waves: Waves) => Promise<void>,
  flags: readonly string[] = [],
): Promise<void> {
  return inFolder(async (folder) => {
    const manager = await RealManager.start();
    const own = ["--docker", "none", "--state-dir", `${folder}/agent`, "--executor", MODULE];
    const agent = new KeptAgent([...own, "--join", manager.address, "--token", manager.token, ...flags]);
    try {
      const nodeID = await manager.readyNode();
      await manager.store.batch(
        STEADY,
        (tx, id) => tx.create("tasks", testTask(id, nodeID, { Spec: SLEEPER })),
      );
      await manager.until(() => running(manager, STEADY) === STEADY.length);
      let done = 0;
      await use({
        get pid() {
          return agent.pid;
        },
        get renewals() {
          return agent.renewals;
        },
        renewed: () => agent.output.match(/.*Ending to be started again.*/g) ?? [],
        steady: () =>
          STEADY.map((id) => identity(manager.store.get("tasks", id)!.Status.ContainerStatus!.PID)),
        ready: async () => void await manager.readyNode(),
        async pass(count) {
          for (const end = done + count; done < end; done += WAVE) {
            await wave(manager, nodeID, runtime, `t${done}n`, Math.min(WAVE, end - done));
          }
        },
      });
      await remove(manager, STEADY);
    } finally {
      await agent.end();
      await manager.stop();
    }
  });
}

/** Which process that is: numbers are given anew, and its status' 20th word behind the name is when it was started. */
function identity(pid: number): string {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  return `${pid} since ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
}

async function wave(manager: RealManager, nodeID: string, runtime: string, prefix: string, count: number) {
  const ids = Array.from({ length: count }, (_, n) => `${prefix}${n}`);
  await manager.store.batch(
    ids,
    (tx, id) => tx.create("tasks", testTask(id, nodeID, { Spec: SPECS[runtime]! })),
  );
  await manager.until(() => running(manager, ids) === count);
  await remove(manager, ids);
}

function running(manager: RealManager, ids: string[]): number {
  return ids.filter((id) => manager.store.get("tasks", id)!.Status.State === "running").length;
}

async function remove(manager: RealManager, ids: string[]): Promise<void> {
  await manager.store.batch(ids, (tx, id) => {
    const task = tx.get("tasks", id)!;
    tx.update("tasks", { ...task, DesiredState: "remove" });
  });
  await manager.until(() => running(manager, ids) === 0);
  await manager.store.batch(ids, (tx, id) => tx.delete("tasks", id));
}
