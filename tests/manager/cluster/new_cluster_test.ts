import assert from "node:assert/strict";
import { createCluster, newCluster } from "../../../manager/cluster/new_cluster.ts";
import { carve } from "../../../manager/cluster/carve.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { seededRandom } from "../orchestrator/harness.ts";

const FIRST = { clusterID: "c", nodeID: "n", availability: "active" } as const;

Deno.test("New cluster: has an ingress network of its first subnet, as of its pools", async () => {
  const clock = new FakeClock(), context = { clock, random: seededRandom() };
  for (
    const [networks, subnet, gateway] of [
      [{}, "10.0.0.0/24", "10.0.0.1"],
      [{ DefaultAddrPool: ["10.20.0.0/16"], SubnetSize: 26 }, "10.20.0.0/26", "10.20.0.1"],
      [{ SubnetSize: 26 }, "10.0.0.0/24", "10.0.0.1"],
    ] as const
  ) {
    const { store } = testStore({ clock });
    const { DefaultAddrPool, ...rest } = { DefaultAddrPool: undefined, ...networks };
    await createCluster(store, FIRST, {}, context, {
      ...rest,
      ...(DefaultAddrPool && { DefaultAddrPool: [...DefaultAddrPool] }),
    });
    const [ingress, ...others] = store.all("networks");
    assert.deepEqual(others, []);
    assert.deepEqual([ingress!.Spec, ingress!.VNI], [{ Name: "ingress", Labels: {}, Ingress: true }, 4096]);
    assert.deepEqual(ingress!.Subnets, [{ Subnet: subnet, Gateway: gateway }]);
  }
});

Deno.test("Carving: pools are used one after another, and an exhausted one is named", async () => {
  const clock = new FakeClock(), { store } = testStore({ clock });
  const pools = { DefaultAddrPool: ["10.1.0.0/30", "10.2.0.0/29"], SubnetSize: 30 };
  const cluster = await newCluster("c", {}, { clock, random: seededRandom() }, pools);
  const got: string[] = [];
  const add = (name: string) =>
    store.update((tx) => {
      const share = carve(tx, cluster, { Name: name, Labels: {} });
      got.push(share.Subnets[0]!.Subnet);
      const meta = { ID: name, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
      tx.create("networks", { ...meta, Spec: { Name: name, Labels: {} }, ...share });
    });
  for (const name of ["a", "b", "c"]) await add(name);
  assert.deepEqual(got, ["10.1.0.0/30", "10.2.0.0/30", "10.2.0.4/30"]);
  await assert.rejects(
    add("d"),
    /Cannot create network d: no subnet of \/30 is left of 10.1.0.0\/30, 10.2.0.0\/29/,
  );
  await store.update((tx) => tx.delete("networks", "b"));
  await add("e");
  assert.equal(got.at(-1), "10.2.0.0/30");
  assert.deepEqual(store.all("networks").map(({ VNI }) => VNI).sort(), [4096, 4097, 4098]);
});
