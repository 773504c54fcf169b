/**
 * `kill -9` of the agent at random moments of a swap, with real processes: whenever it hits, the device ends with exactly one
 * healthy version. COVEY_TEST_KILL_ROUNDS makes it longer, COVEY_TEST_KILL_SEED another.
 */
import assert from "node:assert/strict";
import type { Task } from "../../api/task.ts";
import { seededRandom, testTask } from "../manager/dispatcher/harness.ts";
import { eventually } from "../support/programs.ts";
import { AgentUnderTest } from "./support/agent_process.ts";
import { processesOf } from "./support/processes.ts";
import { RealManager } from "./support/real_manager.ts";

const ROUNDS = Number(Deno.env.get("COVEY_TEST_KILL_ROUNDS") ?? 4);
const SEED = Number(Deno.env.get("COVEY_TEST_KILL_SEED") ?? 1);
const MONITOR_MS = 400;
/** A swap takes half a second of work and the monitor period; some kills shall hit before and after. */
const MAX_KILL_MS = 1500;

/** Longest wait for the end of a round. */
const LIMIT_MS = 60_000;

/** Nobody else on the machine sleeps that long. */
const seconds = (round: number, version: number) => String(71_000_000 + round * 10 + version);

function processSpec(Command: string, Args: string[]): Task["Spec"] {
  return { ProcessSpec: { Command, Args, StopGracePeriod: 1e9 }, ForceUpdate: 0, Runtime: "process" };
}

/** How one round ended. */
async function round(manager: RealManager, agent: AgentUnderTest, node: string, n: number, killMs: number) {
  const isGood = n % 2 === 0, oldID = `old${n}`, newID = `new${n}`;
  const oldArgs = ["/bin/sleep", seconds(n, 1)], newArgs = ["/bin/sleep", seconds(n, 2)];
  const status = (id: string) => manager.store.get("tasks", id)!.Status;
  const live = () => [processesOf(oldArgs), processesOf(newArgs)] as const;
  const make = (task: Task) => manager.store.update((tx) => tx.create("tasks", task));
  await make(testTask(oldID, node, { Spec: processSpec("/bin/sleep", oldArgs.slice(1)) }));
  await manager.until(() => status(oldID).State === "running");
  // Each another version: the same one would be remembered as bad, and not tried.
  const bad = processSpec("/bin/sh", ["-c", `sleep 0.2; exit ${n % 4}`, `round-${n}`]);
  await make(testTask(newID, node, {
    Spec: isGood ? processSpec("/bin/sleep", newArgs.slice(1)) : bad,
    Swap: { With: oldID, Deadline: 30e9, Monitor: MONITOR_MS * 1e6 },
  }));
  let both = false;
  const watch = setInterval(() => both ||= live().every((processes) => processes.length > 0), 25);
  try {
    await new Promise((resolve) => setTimeout(resolve, killMs));
    await agent.kill();
    agent.start();
    const isOver = () => isGood ? status(oldID).State === "shutdown" : status(newID).State === "failed";
    const seen = () => JSON.stringify([status(oldID), status(newID), live()]);
    await eventually("the swap is over", () => Promise.resolve(isOver()), seen, LIMIT_MS);
    // And it stays so: process and start time are the same a while later. The manager may have heard of the end from the agent
    // that was killed, and the next one runs again what it cannot know to have been started.
    await eventually(
      "one version is left, and stays",
      async () => {
        const before = JSON.stringify(live()), [old, next] = live();
        if (old.length + next.length !== 1 || (isGood ? next : old).length !== 1) return false;
        await new Promise((resolve) => setTimeout(resolve, MONITOR_MS));
        return JSON.stringify(live()) === before;
      },
      () => JSON.stringify(live()),
      LIMIT_MS,
    );
    assert.equal(both, false, "the old version and the new one ran at once");
    assert.equal(status(isGood ? newID : oldID).State, "running");
    if (!isGood) assert.equal(status(newID).Swap?.Kind, "rolled_back");
  } finally {
    clearInterval(watch);
  }
  await manager.store.update((tx) => {
    for (const id of [oldID, newID]) tx.delete("tasks", id);
  });
  await eventually("nothing is left", () => Promise.resolve(live().flat().length === 0));
}

Deno.test(`Swap: the agent is killed at ${ROUNDS} random moments, and the device always ends with exactly one healthy version`, async () => {
  const random = seededRandom(SEED);
  const manager = await RealManager.start();
  const agent = new AgentUnderTest(manager);
  agent.start();
  const node = await manager.readyNode();
  try {
    for (let n = 0; n < ROUNDS; n++) {
      const killMs = Math.floor(random.float() * MAX_KILL_MS);
      await round(manager, agent, node, n, killMs).catch((cause) => {
        throw new Error(`round ${n}, killed after ${killMs} ms (seed ${SEED}): ${cause}`, { cause });
      });
    }
  } finally {
    assert.equal(await agent.leave(), 0);
    await manager.stop();
  }
});
