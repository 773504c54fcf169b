import assert from "node:assert/strict";
import { DEFAULT_RAFT_CONFIG } from "../../../../manager/raft/mod.ts";
import { withThree } from "./memory_quorum.ts";

/** The shortest time without a leader before somebody stands for election, less one look. */
const MIN_ELECTION_MS = (DEFAULT_RAFT_CONFIG.electionTicks - 1) * 100 - 50;

Deno.test("Memory quorum: a leader that falls silent hands nothing over, the others have to miss it first", () =>
  withThree(async (quorum) => {
    const leader = await quorum.elect();
    const others = [...quorum.running.keys()].filter((id) => id !== leader);
    const leads = (id: string) => quorum.running.get(id)!.member.status().isLeader;
    for (const id of others) quorum.network.setLink(leader, id, "stalled");
    const waited = await quorum.until("there is another leader", () => others.some(leads));
    assert.ok(waited >= MIN_ELECTION_MS, `it took only ${waited} ms`);
    for (const id of others) quorum.network.setLink(leader, id, "up");
  }));

Deno.test("Memory quorum: a leader whose connections broke off with it is not waited for as long", () =>
  withThree(async (quorum) => {
    let total = 0;
    const times = 5;
    for (let nth = 0; nth < times; nth++) {
      const leader = await quorum.elect();
      await quorum.kill(leader);
      total += await quorum.until("there is another leader", () => quorum.leader !== undefined);
      await quorum.start(leader);
      await quorum.write(`after-${nth}`);
      await quorum.agree(...Array.from({ length: nth + 1 }, (_, i) => `after-${i}`));
    }
    // Two draw from none to the longest random part; the lower one counts.
    assert.ok(total / times < MIN_ELECTION_MS, `it took ${total / times} ms on average`);
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
