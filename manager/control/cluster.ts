/** Reading and changing the cluster object (SwarmKit `controlapi/cluster.go`). */
import type { Clock } from "../../api/clock.ts";
import { type Cluster, DEFAULT_CLUSTER_NAME } from "../../api/cluster.ts";
import { CoveyError } from "../../api/errors.ts";
import { type ClusterSpecChanges, mergeClusterSpec } from "../../api/validate/mod.ts";
import type { ReadView, Store } from "../store/store.ts";
import { requireVersion } from "./version.ts";

/** How long a refused certificate is remembered after it expired: clocks of devices may be behind (SwarmKit: 1 h). */
const EXPIRED_CERT_GRACE_MS = 3_600_000;

/** The one cluster. Throws `unavailable` while it is not yet written. */
export function getCluster(view: ReadView): Cluster {
  const cluster = view.find("clusters", "name", DEFAULT_CLUSTER_NAME)[0];
  if (cluster === undefined) throw new CoveyError("unavailable", "could not fetch cluster object");
  return cluster;
}

/** Lays `changes` over the spec. Throws `aborted` for a stale version, `invalid_argument` for what does not fit together. */
export async function updateCluster(
  store: Store,
  clock: Clock,
  version: number,
  changes: ClusterSpecChanges,
): Promise<void> {
  await store.update((tx) => {
    const cluster = getCluster(tx);
    requireVersion(cluster, version);
    tx.update("clusters", {
      ...cluster,
      Spec: mergeClusterSpec(cluster.Spec, changes),
      BlacklistedCertificates: dropExpired(cluster.BlacklistedCertificates, clock),
    });
  });
}

/** The refused certificates that somebody could still present. */
export function dropExpired(blacklist: Record<string, string>, clock: Clock): Record<string, string> {
  const oldest = clock.now() - EXPIRED_CERT_GRACE_MS;
  return Object.fromEntries(Object.entries(blacklist).filter(([, expiry]) => !(Date.parse(expiry) < oldest)));
}
