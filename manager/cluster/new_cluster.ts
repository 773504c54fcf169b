/** The first objects of a new cluster. Pure but for the keys it makes. */
import { DAY_NS, SECOND_NS } from "../../api/duration.ts";
import {
  type Cluster,
  type ClusterSpec,
  DEFAULT_CLUSTER_NAME,
  DEFAULT_RENEWAL_GRACE_NS,
  type SigningCA,
} from "../../api/cluster.ts";
import type { Clock } from "../../api/clock.ts";
import type { Meta } from "../../api/objects.ts";
import type { Node, NodeAvailability } from "../../api/node.ts";
import { INGRESS_NETWORK_NAME, type NetworkSpec } from "../../api/network.ts";
import { newID, type Random } from "../../api/random.ts";
import { carve } from "./carve.ts";
import type { Store } from "../store/store.ts";
import { createJoinTokens, createUnlockKey } from "../../security/mod.ts";
import { firstRoot } from "./root_ca.ts";

/** Docker's defaults; only the unit of ElectionTick and HeartbeatTick is Covey's own: 100 ms here, 1 s in SwarmKit. */
export function defaultClusterSpec(): ClusterSpec {
  return {
    Name: DEFAULT_CLUSTER_NAME,
    Labels: {},
    Orchestration: { TaskHistoryRetentionLimit: 5 },
    Raft: {
      SnapshotInterval: 10_000,
      KeepOldSnapshots: 0,
      LogEntriesForSlowFollowers: 500,
      ElectionTick: 10,
      HeartbeatTick: 1,
    },
    Dispatcher: { HeartbeatPeriod: 5 * SECOND_NS },
    CAConfig: { NodeCertExpiry: 90 * DAY_NS, RenewalGracePeriod: DEFAULT_RENEWAL_GRACE_NS },
    TaskDefaults: {},
    EncryptionConfig: { AutoLockManagers: false },
  };
}

/** The unlock key of a cluster with this spec: the one before, where there is one that is not `rotated`. */
export function unlockKeyFor(
  { EncryptionConfig }: ClusterSpec,
  before: string | undefined,
  random: Random,
  rotated = false,
): Pick<Cluster, "UnlockKey"> {
  if (!EncryptionConfig.AutoLockManagers) return {};
  return { UnlockKey: rotated || before === undefined ? createUnlockKey(random) : before };
}

/** The cluster object with a new root CA and join tokens; `spec` overrides Docker's defaults part by part. */
export async function newCluster(
  id: string,
  spec: Partial<ClusterSpec>,
  context: { clock: Clock; random: Random },
  founding: Founding = {},
): Promise<Cluster> {
  const root = await firstRoot(founding.SigningCA, context);
  const defaults = defaultClusterSpec();
  const Spec = {
    ...defaults,
    ...spec,
    Name: DEFAULT_CLUSTER_NAME,
    Orchestration: { ...defaults.Orchestration, ...spec.Orchestration },
    Raft: { ...defaults.Raft, ...spec.Raft },
    Dispatcher: { ...defaults.Dispatcher, ...spec.Dispatcher },
    CAConfig: { ...defaults.CAConfig, ...spec.CAConfig },
  };
  return {
    ...unstamped(id),
    ...unlockKeyFor(Spec, undefined, context.random),
    Spec,
    RootCA: {
      CACert: root.certificatePEM,
      CAKey: root.privateKeyPEM,
      JoinTokens: createJoinTokens(root.certificatePEM, context.random),
    },
    ...pick(founding),
    BlacklistedCertificates: {},
  };
}

/** What is said of a new cluster once and for all: its first root, */
export interface Founding extends ClusterNetworks {
  /** The user's own; else one is made. */
  SigningCA?: SigningCA;
}

/** and its networks. */
type ClusterNetworks = Pick<Cluster, "DefaultAddrPool" | "SubnetSize" | "DataPathPort">;

/** The pool of Docker's that is meant where a size comes without one: its client always sends a size. */
function pick({ DefaultAddrPool, SubnetSize, DataPathPort }: ClusterNetworks): ClusterNetworks {
  return {
    ...(DefaultAddrPool && { DefaultAddrPool }),
    ...(DefaultAddrPool && SubnetSize !== undefined && { SubnetSize }),
    ...(DataPathPort !== undefined && { DataPathPort }),
  };
}

/** The network over which published ports reach tasks, as SwarmKit gives it to each new cluster. */
const INGRESS: NetworkSpec = { Name: INGRESS_NETWORK_NAME, Labels: {}, Ingress: true };

/** The first manager's node object. */
export function firstNode(id: string, availability: NodeAvailability): Node {
  return {
    ...unstamped(id),
    Spec: { Name: "", Labels: {}, Role: "manager", Availability: availability },
    Role: "manager",
    Status: { State: "unknown", Addr: "" },
  };
}

/** Writes the first objects, all or none. */
export async function createCluster(
  store: Store,
  first: { clusterID: string; nodeID: string; availability: NodeAvailability },
  spec: Partial<ClusterSpec>,
  context: { clock: Clock; random: Random },
  founding: Founding = {},
): Promise<void> {
  const cluster = await newCluster(first.clusterID, spec, context, founding);
  const ingressID = newID(context.random);
  await store.update((tx) => {
    tx.create("clusters", cluster);
    tx.create("nodes", firstNode(first.nodeID, first.availability));
    tx.create("networks", { ...unstamped(ingressID), Spec: INGRESS, ...carve(tx, cluster, INGRESS) });
  });
}

/** Lays `spec` over what the cluster has. */
export async function changeClusterSpec(
  store: Store,
  spec: Partial<ClusterSpec>,
  random: Random,
): Promise<void> {
  await store.update((tx) => {
    const [cluster] = tx.all("clusters");
    if (cluster === undefined) return;
    const { UnlockKey, ...rest } = cluster, Spec = { ...cluster.Spec, ...spec };
    tx.update("clusters", { ...rest, ...unlockKeyFor(Spec, UnlockKey, random), Spec });
  });
}

/** The store stamps version and times when it writes. */
function unstamped(ID: string): Meta {
  return { ID, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
}
