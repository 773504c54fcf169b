/** How the cluster is shown: never with its CA key. */
import {
  type Cluster,
  type ClusterRootCA,
  DEFAULT_ADDRESS_POOL,
  DEFAULT_RENEWAL_GRACE_NS,
  DEFAULT_SUBNET_SIZE,
} from "../../../api/cluster.ts";
import { DEFAULT_DATA_PATH_PORT } from "../../../api/network_assignment.ts";
import { rootTLSInfo } from "../../../security/mod.ts";
import { inOrder } from "./task_spec_view.ts";

/** The Engine API's `ClusterInfo`. */
export function clusterInfo(cluster: Cluster): Record<string, unknown> {
  const { Spec } = cluster;
  return {
    ID: cluster.ID,
    Version: cluster.Version,
    CreatedAt: cluster.CreatedAt,
    UpdatedAt: cluster.UpdatedAt,
    Spec: {
      Name: Spec.Name,
      Labels: Spec.Labels,
      Orchestration: Spec.Orchestration,
      Raft: inOrder(Spec.Raft, [
        "SnapshotInterval",
        "KeepOldSnapshots",
        "LogEntriesForSlowFollowers",
        "ElectionTick",
        "HeartbeatTick",
      ]),
      Dispatcher: Spec.Dispatcher,
      CAConfig: {
        NodeCertExpiry: Spec.CAConfig.NodeCertExpiry,
        // A cluster that is older than the setting has its default.
        RenewalGracePeriod: Spec.CAConfig.RenewalGracePeriod ?? DEFAULT_RENEWAL_GRACE_NS,
        ...(Spec.CAConfig.ForceRotate !== undefined && { ForceRotate: Spec.CAConfig.ForceRotate }),
      },
      TaskDefaults: Spec.TaskDefaults,
      EncryptionConfig: Spec.EncryptionConfig,
    },
    TLSInfo: tlsInfo(cluster.RootCA),
    RootRotationInProgress: cluster.RootCA.RootRotation !== undefined,
    DefaultAddrPool: cluster.DefaultAddrPool ?? DEFAULT_ADDRESS_POOL,
    SubnetSize: cluster.SubnetSize ?? DEFAULT_SUBNET_SIZE,
    DataPathPort: cluster.DataPathPort ?? DEFAULT_DATA_PATH_PORT,
  };
}

/** The Engine API's `Swarm`: the cluster with its join tokens. */
export function swarmView(cluster: Cluster): Record<string, unknown> {
  const { Worker, Manager } = cluster.RootCA.JoinTokens;
  return { ...clusterInfo(cluster), JoinTokens: { Worker, Manager } };
}

let last: { root: string; issuer: string; info: Record<string, string> } | undefined;

/** The root certificate with subject and public key of who issues; remembered, because it changes at most once in years. */
function tlsInfo({ CACert: root, RootRotation }: ClusterRootCA): Record<string, string> {
  const issuer = RootRotation?.CACert ?? root;
  if (last?.root !== root || last.issuer !== issuer) last = { root, issuer, info: rootTLSInfo(root, issuer) };
  return last.info;
}
