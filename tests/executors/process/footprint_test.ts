/** What a process task costs its device beside its program. */
import assert from "node:assert/strict";
import { processFixture, processTask, shimsOf } from "../../conformance/process_fixture.ts";

const never = new AbortController().signal;
/** For each task, what its shim shares with others counted once for all of them. */
const MAX_TASK_KIB = 2048;
const TASKS = 10;
/** Programs that are started and stopped before the first look, and between that and the second. */
const WARM = 48, MORE = 240;
const AT_ONCE = 8;

/** A field of a process's memory, in KiB; 0 for one that has ended. */
async function memoryOf(pid: number, field: "Pss" | "Rss"): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`).catch(() => "");
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
}

/** The server of a state folder: the one that no task's folder is the working folder of. */
async function serverOf(stateDir: string): Promise<number> {
  for await (const { name } of Deno.readDir("/proc")) {
    const line = /^\d+$/.test(name) ? await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "") : "";
    if (!line.includes(`\0serve\0${stateDir}\0`)) continue;
    const folder = await Deno.readLink(`/proc/${name}/cwd`).catch(() => "");
    if (!folder.startsWith(stateDir)) return Number(name);
  }
  return assert.fail("there is no server");
}

Deno.test("Footprint: a process task takes at most 2 MB beside its program", async () => {
  const world = await processFixture(), executor = await world.executor();
  const tasks = Array.from({ length: TASKS }, () => processTask({ Command: "sleep", Args: ["1000"] }));
  const controllers = await Promise.all(tasks.map((task) => executor.controller(task)));
  for (const controller of controllers) await controller.start(never);
  let kib = await memoryOf(await serverOf(world.stateDir), "Pss");
  for (const { ID } of tasks) {
    const shims = await shimsOf(world.stateDir, ID);
    assert.equal(shims.length, 1, "one process a task, and its program");
    for (const pid of shims) kib += await memoryOf(pid, "Pss");
  }
  assert.ok(kib / TASKS < MAX_TASK_KIB, `${kib / TASKS} KiB a task`);
  for (const controller of controllers) await controller.remove(never);
  await executor.close();
  await world.close();
});

Deno.test("Footprint: however many programs were started and stopped, the shim's server stays as it is", async () => {
  const world = await processFixture(), executor = await world.executor();
  const startAndStop = async (count: number) => {
    let left = count;
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) {
        const controller = await executor.controller(processTask({ Command: "sleep", Args: ["1000"] }));
        await controller.start(never);
        await controller.remove(never);
        await controller.close();
      }
    }));
  };
  await startAndStop(WARM);
  const server = await serverOf(world.stateDir), before = await memoryOf(server, "Rss");
  await startAndStop(MORE);
  assert.equal(await serverOf(world.stateDir), server, "it was not replaced");
  const after = await memoryOf(server, "Rss");
  assert.ok(after <= before * 1.1, `${before} KiB, then ${after} KiB`);
  for (const folder of ["tasks", "runs", "logs"]) {
    assert.deepEqual([...Deno.readDirSync(`${world.stateDir}/${folder}`)], [], folder);
  }
  await executor.close();
  await world.close();
});
