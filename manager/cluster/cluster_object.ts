/** The cluster object: there is one in each store, once the first manager has made it. */
import { type Cluster, DEFAULT_CLUSTER_NAME } from "../../api/cluster.ts";
import { CoveyError } from "../../api/errors.ts";
import type { ReadView } from "../store/store.ts";

/** The cluster object; undefined before it was made, or while a new member has not got the state yet. */
export function clusterOf(view: ReadView): Cluster | undefined {
  return view.find("clusters", "name", DEFAULT_CLUSTER_NAME)[0];
}

/** The cluster object; throws `unavailable` while there is none. */
export function requireCluster(view: ReadView): Cluster {
  const cluster = clusterOf(view);
  if (cluster) return cluster;
  throw new CoveyError("unavailable", "Cannot read the cluster: it has not been created yet");
}
