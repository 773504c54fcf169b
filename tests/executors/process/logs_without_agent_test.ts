/** Logs of programs that go on while no agent runs. */
import assert from "node:assert/strict";
import { AgentUnderTest } from "../../agent/support/agent_process.ts";
import { RealManager } from "../../agent/support/real_manager.ts";
import { eventually } from "../../support/programs.ts";

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
  const size = (name: string) => Deno.stat(`${state}/logs/${name}`).then(({ size }) => size, () => 0);
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
    const now = await size("a.log");
    if (now < before) rotations++;
    before = now;
    return rotations >= 3;
  }, () => `${before} bytes, ${rotations} rotations`);
  assert.ok(await size("a.log.1") <= 2 * 1024 * 1024);
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
