/** Scenario 8: all managers lose power; any majority of them must do, whatever the last membership change was. */
import { MemoryQuorum } from "./memory_quorum.ts";

const PAIRS = [["m1", "m2"], ["m1", "m3"], ["m2", "m3"]] as const;

for (const pair of PAIRS) {
  Deno.test(`Quorum: after a power cut ${pair} of three find a leader (scenario 8)`, async () => {
    const quorum = await MemoryQuorum.ofThree();
    await quorum.write("before");
    await quorum.agree("before");
    for (const id of ["m1", "m2", "m3"]) await quorum.kill(id);
    // What is left of them in this process must not tell the restarted ones what their disks do not.
    await quorum.clock.advance(3_000);
    for (const id of pair) await quorum.start(id);
    await quorum.write("after");
    await quorum.agree("after", "before");
    await quorum.close();
  });
}
