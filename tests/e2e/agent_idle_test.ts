/** What an agent takes from a device while nothing happens: memory, and the wear of its SD card. */
import assert from "node:assert/strict";
import { fileWrites, residentKB, withIdleAgent, writtenBytes } from "../support/idle_agent.ts";

/** 60 MiB, with ten process tasks (decision 0040). */
const MAX_RESIDENT_KB = 61_440;
const IDLE_MS = 8000;

Deno.test({
  name: "Agent: idle with ten process tasks it has at most 60 MB resident and writes to no file",
  ignore: Deno.build.os !== "linux", // reason: it reads /proc
  fn: () =>
    withIdleAgent(async (agent) => {
      const joined = residentKB(agent.pid());
      assert.ok(joined <= MAX_RESIDENT_KB, `${joined} kB after joining, at most ${MAX_RESIDENT_KB}`);
      await agent.restart();
      const pid = agent.pid(), written = writtenBytes(pid), restarted = residentKB(pid);
      assert.ok(restarted <= MAX_RESIDENT_KB, `${restarted} kB after a restart, at most ${MAX_RESIDENT_KB}`);
      assert.deepEqual(await fileWrites(pid, IDLE_MS) ?? [], []);
      assert.equal(writtenBytes(pid), written);
    }),
});
