/** A device that is taken out of its cluster: its programs end, whoever ended the membership and however. */
import assert from "node:assert/strict";
import { eventually, inFolder, type Program, start } from "../support/programs.ts";
import { RealManager } from "./support/real_manager.ts";

function lives(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGCONT");
    return true;
  } catch {
    return false;
  }
}

/** Starts an agent that joins `manager`. */
function joined({ address, token }: RealManager, stateDir: string): Program {
  return start("agent", "--state-dir", stateDir, "--join", address, "--token", token);
}

/** Runs `test` with an agent whose task runs as `pid`. */
async function withTask(
  test: (given: { manager: RealManager; agent: Program; stateDir: string; pid: number }) => Promise<void>,
) {
  await inFolder(async (folder) => {
    const manager = await RealManager.start(), stateDir = `${folder}/a`;
    const agent = joined(manager, stateDir);
    const nodeID = await manager.readyNode();
    await manager.assign(nodeID, ["a"], ["/bin/sleep", "1000"]);
    await manager.until(() => manager.running() === 1);
    const pid = manager.store.get("tasks", "a")!.Status.ContainerStatus!.PID;
    try {
      await test({ manager, agent, stateDir, pid });
    } finally {
      await agent.end();
      if (lives(pid)) Deno.kill(pid, "SIGKILL");
      await manager.stop();
    }
  });
}

Deno.test("Agent process: --leave stops the tasks with no manager in reach and forgets the cluster", () =>
  withTask(async ({ manager, agent, stateDir, pid }) => {
    await agent.end();
    assert.ok(lives(pid), "an agent that ends leaves its programs alone");
    const leaving = start("agent", "--state-dir", stateDir, "--leave");
    assert.equal(await leaving.ends(), 0, leaving.output);
    assert.match(leaving.output, /has left its cluster; 1 tasks were stopped/);
    assert.equal(lives(pid), false);
    const again = joined(manager, stateDir);
    await again.says(/is connected/);
    await again.end();
    assert.equal(manager.store.count("nodes"), 3, "it has joined as a new node");
  }));

Deno.test("Agent process: whoever empties the state folder and joins again has no program run twice", () =>
  withTask(async ({ manager, agent, stateDir, pid }) => {
    await agent.end();
    await Deno.remove(stateDir, { recursive: true });
    assert.ok(lives(pid));
    const again = joined(manager, stateDir);
    await again.says(/is connected/);
    await eventually("the program nobody knows of has ended", () => Promise.resolve(!lives(pid)));
    await again.end();
  }));
