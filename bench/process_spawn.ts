/**
 * Starts programs through the process executor and compares with the bare spawn rate.
 *
 *   deno run -A bench/process_spawn.ts [N=500] [CONC=8]
 */
import { createProcessExecutor } from "../executors/process/process_executor.ts";
import type { Controller } from "../executors/executor.ts";
import type { Task } from "../api/task.ts";

const n = Number(Deno.args[0] ?? 500), concurrency = Number(Deno.args[1] ?? 8);
const forever = new AbortController().signal;

async function rate(run: (i: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const began = performance.now();
  await Promise.all(Array.from({ length: concurrency }, async () => {
    while (next < n) await run(next++);
  }));
  return n / (performance.now() - began) * 1000;
}

/** Resident and private memory of the shims, in KiB. */
function shimMemory(stateDir: string): { shims: number; rss: number; own: number } {
  const sum = { shims: 0, rss: 0, own: 0 };
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!Deno.readTextFileSync(`/proc/${name}/cmdline`).includes(`\0serve\0${stateDir}\0`)) continue;
      const smaps = Deno.readTextFileSync(`/proc/${name}/smaps_rollup`);
      const field = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(smaps)?.[1] ?? 0);
      sum.shims++;
      sum.rss += field("Rss");
      sum.own += field("Private_Clean") + field("Private_Dirty");
    } catch {
      // It ended while we looked.
    }
  }
  return sum;
}

const stateDir = await Deno.makeTempDir({ prefix: "covey-bench-" });
const executor = await createProcessExecutor({ stateDir, nodeID: "bench" });
const task = (i: number) => ({
  ID: `bench${Deno.pid}n${i}`,
  Spec: { ForceUpdate: 0, Runtime: "process", ProcessSpec: { Command: "sleep", Args: ["100000"] } },
} as Task);

try {
  const bare = await rate(async () => {
    const child = new Deno.Command("/bin/true", { stdin: "null", stdout: "null", stderr: "null" }).spawn();
    await child.status;
  });
  const controllers: Controller[] = [];
  const started = await rate(async (i) => {
    const controller = await executor.controller(task(i));
    controllers.push(controller);
    await controller.prepare(forever);
    await controller.start(forever);
  });
  const { shims, rss, own } = shimMemory(stateDir);
  const stopped = await rate(async () => {
    const controller = controllers.pop()!;
    await controller.shutdown(forever);
    await controller.remove(forever);
  });
  console.log(`bare spawn of /bin/true    ${bare.toFixed(0)}/s`);
  console.log(
    `tasks started              ${started.toFixed(0)}/s   ${
      (started / bare * 100).toFixed(0)
    } % of the bare rate`,
  );
  console.log(`tasks stopped and removed  ${stopped.toFixed(0)}/s`);
  console.log(
    `memory of ${shims} shims         ${(rss / shims).toFixed(0)} KiB resident, ${
      (own / shims).toFixed(0)
    } KiB of it private, each`,
  );
} finally {
  await executor.close();
  await Deno.remove(stateDir, { recursive: true });
}
