/** What an agent takes from a device while nothing happens: memory, and the wear of its SD card. */
import assert from "node:assert/strict";
import { fileWrites, residentKB, withIdleAgent, writtenBytes } from "../support/idle_agent.ts";

/** 60 MiB, with ten process tasks (decision 0040). */
const MAX_RESIDENT_KB = 61_440;
const IDLE_MS = 8000;
/** The kernel maps pages of the deno program around those that are used, as the page cache happens to hold them: the same
 * agent differs by so much from start to start. */
const MAPPING_NOISE_KB = 1024;
/** Starts to look at, because of that noise; a real growth shows in each. */
const STARTS = 3;

Deno.test({
  name: "Agent: idle with ten process tasks it has at most 60 MB resident and writes to no file",
  ignore: Deno.build.os !== "linux", // reason: it reads /proc
  fn: () =>
    withIdleAgent("none", async (agent) => {
      const joined = residentKB(agent.pid()), allowed = MAX_RESIDENT_KB + MAPPING_NOISE_KB;
      assert.ok(joined <= allowed, `${joined} kB after joining, at most ${allowed}`);
      const restarted: number[] = [];
      for (let start = 0; start < STARTS && !restarted.some((kB) => kB <= MAX_RESIDENT_KB); start++) {
        await agent.restart();
        restarted.push(residentKB(agent.pid()));
      }
      assert.ok(
        Math.min(...restarted) <= MAX_RESIDENT_KB,
        `${restarted} kB after restarts, at most ${MAX_RESIDENT_KB}`,
      );
      const pid = agent.pid(), written = writtenBytes(pid);
      assert.deepEqual(await fileWrites(pid, IDLE_MS) ?? [], []);
      assert.equal(writtenBytes(pid), written);
    }),
});
