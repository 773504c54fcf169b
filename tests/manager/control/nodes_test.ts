import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { hasCode } from "../../../api/errors.ts";
import { removeNode } from "../../../manager/control/nodes.ts";
import { newCluster } from "../../../manager/cluster/new_cluster.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { testRandom } from "../http/fake_node.ts";
import { FakeGroup } from "../forward/fake_group.ts";
import { node } from "../store/objects.ts";

/** A store with node `m2`, which is down and shall be a worker, and a quorum of m1 and m2. */
async function demotedButVoting() {
  const clock = new FakeClock();
  const { store } = testStore({ clock });
  const cluster = await newCluster("cluster1", {}, { clock, random: testRandom });
  await store.update((tx) => {
    tx.create("clusters", cluster);
    tx.create("nodes", { ...node("m2"), Role: "manager", Status: { State: "down", Addr: "" } });
  });
  const group = new FakeGroup({ m1: "m1:2377", m2: "m2:2377" }, "m1");
  const removed = removeNode(store, clock, group.consensus.m1!, "m2", true);
  return { clock, store, group, removed };
}

Deno.test("Nodes: removing one that is being demoted waits until the quorum has let it go", async () => {
  const { clock, store, group, removed } = await demotedButVoting();
  await clock.advance(1_000);
  strictEqual(store.count("nodes"), 1);
  group.members.splice(1);
  group.elect("m1");
  await removed;
  deepStrictEqual([store.count("nodes"), clock.pending], [0, 0]);
});

Deno.test("Nodes: one that cannot be demoted cannot be removed either: its vote would stay for ever", async () => {
  const { clock, store, removed } = await demotedButVoting();
  const refused = rejects(
    removed,
    (e) => hasCode(e, "failed_precondition") && /being demoted/.test(e.message),
  );
  await clock.advance(5_000);
  await refused;
  strictEqual(store.count("nodes"), 1);
});
