/** How a simulated cluster begins: what the first manager writes, and how the others come to it. */
import type { Cluster } from "../../../api/cluster.ts";
import type { Node } from "../../../api/node.ts";
import { defaultClusterSpec, firstNode } from "../../../manager/cluster/new_cluster.ts";
import type { SimManager } from "./manager.ts";
import type { World } from "./world.ts";

const SECOND_NS = 1e9;

/** The cluster object; its certificates are never looked at. */
function cluster(heartbeatNs: number): Cluster {
  const spec = defaultClusterSpec();
  return {
    ID: "cluster",
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: { ...spec, Dispatcher: { HeartbeatPeriod: heartbeatNs } },
    RootCA: { CACert: "root", CAKey: "", JoinTokens: { Worker: "", Manager: "" } },
    BlacklistedCertificates: {},
  };
}

function node(name: string, Role: Node["Role"]): Node {
  // No agent runs beside a manager here.
  const first = firstNode(name, Role === "manager" ? "drain" : "active");
  return { ...first, Spec: { ...first.Spec, Role }, Role };
}

/** The first manager founds the cluster, the others join it. Resolves when all vote. */
export async function foundCluster(
  world: World,
  managers: readonly SimManager[],
  workers: readonly string[],
): Promise<void> {
  const [first, ...others] = managers;
  const heartbeatNs = world.random.pick([0.5, 1, 2]) * SECOND_NS;
  await first!.start([]);
  await first!.manager!.store.update((tx) => {
    tx.create("clusters", cluster(heartbeatNs));
    for (const { name } of managers) tx.create("nodes", node(name, "manager"));
    for (const name of workers) tx.create("nodes", node(name, "worker"));
  });
  for (const other of others) await other.start([first!.address]);
}
