/** Logs of programs that go on while no agent runs. */
import assert from "node:assert/strict";
import { AgentUnderTest } from "../../agent/support/agent_process.ts";
import { RealManager } from "../../agent/support/real_manager.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processFixture, processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { copyShim } from "./hostile_agent.ts";
import { eventually } from "../../support/programs.ts";

const never = new AbortController().signal;
/** Bytes of a file; 0 for one that is not there. */
const size = (path: string) => Deno.stat(path).then(({ size }) => size, () => 0);
const LOUD = "while :; do head -c 400000 /dev/zero; sleep 0.05; done";

Deno.test("Logs: stay bounded while the agent is dead, and one keeper is enough for the next one", async () => {
  const manager = await RealManager.start();
  const agent = new AgentUnderTest(manager);
  agent.start();
  const nodeID = await manager.readyNode();
  await manager.assign(nodeID, ["a"], ["/bin/sh", "-c", LOUD]);
  await manager.until(() => manager.running() === 1);
  await agent.kill();
  const state = `${agent.stateDir}/process`;
  const sizeOf = (name: string) => size(`${state}/logs/${name}`);
  /** Shells that keep or serve this folder, the shims of its programs aside. */
  const keepers = () => {
    const { stdout } = new Deno.Command("pgrep", { args: ["-f", `shim_server.sh serve ${state}`] })
      .outputSync();
    const pids = new TextDecoder().decode(stdout).trim().split("\n");
    return pids.filter((pid) => !shims.includes(Number(pid)));
  };
  const shims = Deno.readTextFileSync(`${state}/runs/a`).split("\n").map((line) =>
    Number(line.split(" ")[1])
  );
  let before = 0, rotations = 0;
  await eventually("the log was rotated three times", async () => {
    const now = await sizeOf("a.log");
    if (now < before) rotations++;
    before = now;
    return rotations >= 3;
  }, () => `${before} bytes, ${rotations} rotations`);
  assert.ok(await sizeOf("a.log.1") <= 2 * 1024 * 1024);
  assert.equal(keepers().length, 1);
  await manager.store.update((tx) => {
    const node = tx.get("nodes", nodeID)!;
    tx.update("nodes", { ...node, Status: { ...node.Status, State: "unknown" } });
  });
  agent.start();
  await manager.readyNode();
  await manager.assign(nodeID, ["b"], ["/bin/true"]);
  await manager.until(() => manager.store.get("tasks", "b")?.Status.State === "complete");
  await eventually(
    "the keeper has handed over",
    () => Promise.resolve(keepers().length === 1),
    () => keepers().join(),
  );
  assert.equal(await agent.leave(), 0);
  await manager.stop();
});

Deno.test("Logs: while no agent runs all of them together stay bounded too", async () => {
  const world = await processFixture();
  const shim = await copyShim(
    world.stateDir,
    (text) => text.replace("MAX_TOTAL_LOG_BYTES=67108864", "MAX_TOTAL_LOG_BYTES=524288"),
  );
  const executor = await createProcessExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, { shim });
  const script = "head -c 300000 /dev/zero; exec sleep 1000";
  const tasks = [1, 2].map(() => processTask({ Command: "sh", Args: ["-c", script] }));
  for (const task of tasks) await (await executor.controller(task)).start(never);
  const folder = `${world.stateDir}/logs`, older = `${folder}/${tasks[0]!.ID}+err.log.1`;
  await Deno.writeFile(older, new Uint8Array(300_000));
  await executor.close();
  const total = async () => {
    let sum = 0;
    for await (const { name } of Deno.readDir(folder)) sum += await size(`${folder}/${name}`);
    return sum;
  };
  // Until the programs have printed, there is room for the older one.
  await eventually(
    "they have their shares",
    async () => await total() <= 524288 && await size(older) === 0,
    () => folder,
  );
  const next = await world.executor();
  for (const task of tasks) {
    const controller = await next.recover(task, { version: 1, data: { TaskID: task.ID } });
    await controller.remove(never);
    await controller.close();
  }
  await next.close();
  await world.close();
});
