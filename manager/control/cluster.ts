/** Reading and changing the cluster object (SwarmKit `controlapi/cluster.go`). */
import { requireCluster } from "../cluster/cluster_object.ts";
import { DAY_MS } from "../../api/duration.ts";
import type { Clock } from "../../api/clock.ts";
import type { ClusterRootCA, ClusterSpec, SigningCA } from "../../api/cluster.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Random } from "../../api/random.ts";
import { unlockKeyFor } from "../cluster/new_cluster.ts";
import { withNextRoot } from "../cluster/root_ca.ts";
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

/** What a client asks of the cluster object. */
export interface ClusterUpdate {
  spec: ClusterSpec;
  rotate: Rotation;
  /** A root of the user's own to rotate to. */
  signing?: SigningCA | undefined;
}

/**
 * Replaces the spec, and what `rotate` says; a new number in `ForceRotate` or `signing` begins with another root. Throws
 * `aborted` for a stale version.
 */
export async function updateCluster(
  store: Store,
  { clock, random }: { clock: Clock; random: Random },
  version: number,
  { spec, rotate, signing }: ClusterUpdate,
): Promise<void> {
  const before = requireCluster(store);
  requireVersion(before, version);
  const force = asksForRoot(before.Spec, spec);
  const RootCA = await withNextRoot(before.RootCA, { force, signing }, { clock, random });
  const { ForceRotate = before.Spec.CAConfig.ForceRotate } = spec.CAConfig;
  const Spec = { ...spec, CAConfig: { ...spec.CAConfig, ...(ForceRotate !== undefined && { ForceRotate }) } };
  await store.update((tx) => {
    const cluster = requireCluster(tx);
    // The new root is made from what `before` has, so nothing may have changed since.
    requireVersion(cluster, version);
    const { UnlockKey, ...rest } = cluster;
    const tokens = rotate.tokens.map((role) => [role, createJoinToken(RootCA.CACert, random)]);
    tx.update("clusters", {
      ...rest,
      ...unlockKeyFor(spec, UnlockKey, random, rotate.unlockKey),
      Spec,
      RootCA: { ...RootCA, JoinTokens: { ...RootCA.JoinTokens, ...Object.fromEntries(tokens) } },
      BlacklistedCertificates: dropExpired(cluster.BlacklistedCertificates, clock),
    });
  });
}

/**
 * Whether `spec` asks for another root certificate than the cluster with the spec `present` has. A client that leaves the
 * number out, or at zero, does not know of it.
 */
function asksForRoot(present: ClusterSpec, { CAConfig: { ForceRotate } }: ClusterSpec): boolean {
  return ForceRotate !== undefined && ForceRotate !== present.CAConfig.ForceRotate;
}

/** Refuses a `spec` that asks for another root as the only manager goes on: that comes after. Throws `invalid_argument`. */
export function requireSameRoot(
  present: ClusterSpec,
  spec: ClusterSpec,
  signing: SigningCA | undefined,
): void {
  if (!asksForRoot(present, spec) && signing === undefined) return;
  const problem = {
    field: signing === undefined ? "CAConfig.ForceRotate" : "CAConfig.SigningCACert",
    message: "not available together with ForceNewCluster: rotate the root once this manager goes on",
  };
  throw CoveyError.invalid("use the swarm spec", [problem]);
}

/** The refused certificates that somebody could still present. */
export function dropExpired(blacklist: Record<string, string>, clock: Clock): Record<string, string> {
  const oldest = clock.now() - EXPIRED_CERT_MEMORY_MS;
  return Object.fromEntries(Object.entries(blacklist).filter(([, expiry]) => !(Date.parse(expiry) < oldest)));
}
