import assert from "node:assert/strict";
import { DEFAULT_RAFT_CONFIG } from "../../../manager/raft/mod.ts";
import { withThree } from "./memory_quorum.ts";

/** The shortest time without a leader before somebody stands for election, less one look. */
const MIN_ELECTION_MS = (DEFAULT_RAFT_CONFIG.electionTicks - 1) * 100 - 50;

Deno.test("Memory quorum: a killed leader hands nothing over, the others have to miss it first", () =>
  withThree(async (quorum) => {
    await quorum.kill(await quorum.elect());
    const waited = await quorum.until("there is another leader", () => quorum.leader !== undefined);
    assert.ok(waited >= MIN_ELECTION_MS, `it took only ${waited} ms`);
  }));

Deno.test("Memory quorum: a member that was killed in the middle of a proposal leaves nothing behind", () =>
  withThree(async (quorum) => {
    await quorum.write("before");
    const leader = await quorum.elect();
    const { store } = quorum.running.get(leader)!;
    const kill = quorum.kill(leader);
    const late = store.update((tx) => tx.delete("services", "before"));
    late.catch(() => {});
    await kill;
    await quorum.elect();
    await quorum.agree("before");
    await assert.rejects(quorum.settle(late));
  }));
