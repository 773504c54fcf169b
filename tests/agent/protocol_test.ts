/** An upgrade goes through a fleet one by one: agents and managers of two versions that follow one another work together. */
import assert from "node:assert/strict";
import { AgentUnderTest } from "./support/agent_process.ts";
import { testNode } from "../manager/dispatcher/harness.ts";
import { Cluster } from "./support/cluster.ts";
import { RealManager } from "./support/real_manager.ts";

/** What becomes of an agent that speaks `agent` with a manager that speaks `manager`. */
async function meet(agent: number, manager: number) {
  const cluster = new Cluster();
  cluster.protocols = { agent, manager };
  await cluster.store.update((tx) => tx.create("nodes", NODE));
  await cluster.startManager();
  await cluster.startAgent();
  const { state } = cluster.agent, said = cluster.states.findLast(({ error }) => error)?.error?.message ?? "";
  const runs = state === "connected" && await runsTask(cluster);
  await cluster.stop();
  return { state, runs, said };
}

const NODE = testNode("n1");

async function runsTask(cluster: Cluster): Promise<boolean> {
  await cluster.assign("t1");
  return cluster.status("t1").State === "running";
}

Deno.test("Protocol: an agent works with a manager one version before and after its own", async () => {
  for (const [agent, manager] of [[1, 2], [2, 1]] as const) {
    assert.deepEqual(await meet(agent, manager), { state: "connected", runs: true, said: "" });
  }
});

Deno.test("Protocol: two versions apart is refused, and the words say which of them is too old", async () => {
  const before = await meet(1, 3), after = await meet(3, 1);
  assert.equal(before.state, "connecting");
  assert.match(before.said, /the agent speaks version 1, the manager 3, .*; upgrade the agent/);
  assert.equal(after.state, "connecting");
  assert.match(after.said, /upgrade the manager/);
});

Deno.test("Protocol: an agent of its own sandbox runs programs for a manager of the next version, over the real transport", async () => {
  const manager = await RealManager.start(undefined, 2), agent = new AgentUnderTest(manager);
  agent.start();
  const nodeID = await manager.readyNode();
  await manager.assign(nodeID, ["t1"], ["sleep", "1000"]);
  await manager.until(() => manager.running() === 1);
  assert.equal(await agent.leave(), 0);
  await manager.stop();
});

Deno.test("Agent: a manager of before, which calls each change the complete set, ends no other task", async () => {
  const cluster = await Cluster.start();
  cluster.retell = (message) => ({ ...message, Type: "complete" });
  await cluster.startAgent();
  await cluster.assign("a");
  await cluster.assign("b");
  assert.deepEqual(cluster.device.running, ["a", "b"]);
  assert.deepEqual(cluster.device.program("a").calls, ["controller", "prepare", "start"]);
  await cluster.remove("a");
  assert.deepEqual(cluster.device.running, ["b"]);
  await cluster.stop();
});
