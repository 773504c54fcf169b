/** What an agent takes from a device while nothing happens: memory, and the wear of its SD card. */
import assert from "node:assert/strict";
import {
  fileWrites,
  IDLE_ENGINE,
  type IdleAgent,
  residentKB,
  withIdleAgent,
  writtenBytes,
} from "../support/idle_agent.ts";

/** 60 MB, with ten process tasks (decision 0040): 60,000,000 bytes, so that it is kept whichever MB is meant. */
const MAX_RESIDENT_KB = Math.floor(60e6 / 1024);
const IDLE_MS = 8000;

function assertResident(agent: IdleAgent, when: string): void {
  const resident = residentKB(agent.pid());
  assert.ok(resident <= MAX_RESIDENT_KB, `${resident} kB ${when}, at most ${MAX_RESIDENT_KB}`);
}

Deno.test({
  name:
    "Agent: idle with ten process tasks, and an engine where there is one, it has at most 60 MB resident and writes to no file",
  ignore: Deno.build.os !== "linux", // reason: it reads /proc
  fn: () =>
    withIdleAgent(IDLE_ENGINE, async (agent) => {
      assertResident(agent, "after joining");
      await agent.restart();
      assertResident(agent, "after a restart");
      const pid = agent.pid(), written = writtenBytes(pid);
      assert.deepEqual(await fileWrites(pid, IDLE_MS) ?? [], []);
      assert.equal(writtenBytes(pid), written);
      assertResident(agent, "when idle");
    }),
});
