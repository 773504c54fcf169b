import { rejects, strictEqual } from "node:assert/strict";
import { hasCode } from "../../../api/errors.ts";
import type { Member } from "../../../manager/consensus/mod.ts";
import { removeNode } from "../../../manager/control/nodes.ts";
import { newCluster } from "../../../manager/node/bootstrap.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { testRandom } from "../http/fake_node.ts";
import { node } from "../store/objects.ts";

const member = (nodeID: string): Member => ({
  memberID: nodeID.charCodeAt(1),
  nodeID,
  address: `${nodeID}:2377`,
  learner: false,
  reachable: true,
});

Deno.test("Nodes: one that is demoted but still votes cannot be removed: its vote would stay for ever", async () => {
  const clock = new FakeClock();
  const { store } = testStore({ clock });
  const cluster = await newCluster("cluster1", {}, { clock, random: testRandom });
  const demoted = { ...node("m2"), Role: "manager" as const };
  await store.update((tx) => {
    tx.create("clusters", cluster);
    tx.create("nodes", { ...demoted, Status: { State: "down", Addr: "" } });
  });
  strictEqual(demoted.Spec.Role, "worker");
  const remove = (...ids: string[]) => removeNode(store, clock, ids.map(member), "m2", true);
  await rejects(
    remove("m1", "m2"),
    (e) => hasCode(e, "failed_precondition") && /being demoted/.test(e.message),
  );
  await remove("m1");
  strictEqual(store.count("nodes"), 0);
});
