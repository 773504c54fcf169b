/** Reading and changing the cluster object (SwarmKit `controlapi/cluster.go`). */
import { requireCluster } from "../cluster/cluster_object.ts";
import { DAY_MS } from "../../api/duration.ts";
import type { Clock } from "../../api/clock.ts";
import type { ClusterRootCA, ClusterSpec } from "../../api/cluster.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Random } from "../../api/random.ts";
import { unlockKeyFor } from "../cluster/new_cluster.ts";
import { createJoinToken } from "../../security/mod.ts";
import type { Store } from "../store/store.ts";
import { requireVersion } from "./version.ts";

/**
 * How long a removed node is remembered by name after its certificate expired (SwarmKit: 7 days): clocks may be behind. From
 * then on it is a node that the cluster does not know, which the CA renews as little, however long the grace for others is.
 */
const EXPIRED_CERT_MEMORY_MS = 7 * DAY_MS;

/** Whose join token. */
export type TokenRole = keyof ClusterRootCA["JoinTokens"];

/** What an update makes anew. */
export interface Rotation {
  tokens: readonly TokenRole[];
  /** Means nothing without a lock. */
  unlockKey: boolean;
}

/** Replaces the spec, and what `rotate` says. Throws `aborted` for a stale version. */
export async function updateCluster(
  store: Store,
  { clock, random }: { clock: Clock; random: Random },
  version: number,
  { spec, rotate }: { spec: ClusterSpec; rotate: Rotation },
): Promise<void> {
  await store.update((tx) => {
    const cluster = requireCluster(tx);
    requireVersion(cluster, version);
    requireSameRoot(cluster.Spec, spec);
    const { RootCA, UnlockKey, ...rest } = cluster;
    const tokens = rotate.tokens.map((role) => [role, createJoinToken(RootCA.CACert, random)]);
    tx.update("clusters", {
      ...rest,
      ...unlockKeyFor(spec, UnlockKey, random, rotate.unlockKey),
      Spec: spec,
      RootCA: { ...RootCA, JoinTokens: { ...RootCA.JoinTokens, ...Object.fromEntries(tokens) } },
      BlacklistedCertificates: dropExpired(cluster.BlacklistedCertificates, clock),
    });
  });
}

/** Refuses a `spec` that asks for another root certificate than the cluster with the spec `present` has. Throws `invalid_argument`. */
export function requireSameRoot(present: ClusterSpec, spec: ClusterSpec): void {
  const { ForceRotate } = spec.CAConfig;
  if (ForceRotate === undefined || ForceRotate === present.CAConfig.ForceRotate) return;
  const problem = {
    field: "CAConfig.ForceRotate",
    message: "rotating the root certificate is not available yet",
  };
  throw CoveyError.invalid("use the swarm spec", [problem]);
}

/** The refused certificates that somebody could still present. */
export function dropExpired(blacklist: Record<string, string>, clock: Clock): Record<string, string> {
  const oldest = clock.now() - EXPIRED_CERT_MEMORY_MS;
  return Object.fromEntries(Object.entries(blacklist).filter(([, expiry]) => !(Date.parse(expiry) < oldest)));
}
