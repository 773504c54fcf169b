/** The cluster object: exactly one, named `default`. */
import { DAY_NS, toMs } from "./duration.ts";
import type { Annotations, Meta } from "./objects.ts";
import type { LogDriver } from "./service.ts";

/** Name of the one cluster object. */
export const DEFAULT_CLUSTER_NAME = "default";

/** Docker's pool of addresses, from which networks that ask for no subnet get theirs, */
export const DEFAULT_ADDRESS_POOL: readonly string[] = ["10.0.0.0/8"];
/** and how many bits a mask of theirs has. */
export const DEFAULT_SUBNET_SIZE = 24;

/** A minute in ticks, in force for whoever asks for more: nobody would wait so long for a leader. */
export const MAX_ELECTION_TICK = 600;

/** Earlier checkpoints a manager keeps at most: each may take as much of its disk as the whole state does. */
export const MAX_OLD_SNAPSHOTS = 32;

/** Half a year: a device that was in a drawer for a season comes back by itself. Nanoseconds. */
export const DEFAULT_RENEWAL_GRACE_NS = 180 * DAY_NS;

/**
 * Settings of a cluster, in the Engine API's `SwarmSpec` shape. Durations in nanoseconds.
 *
 * @example
 * ```ts
 * const changes: Pick<ClusterSpec, "Orchestration" | "CAConfig"> = {
 *   Orchestration: { TaskHistoryRetentionLimit: 5 },
 *   CAConfig: { NodeCertExpiry: 90 * 24 * 3600e9 },
 * };
 * ```
 */
export interface ClusterSpec extends Annotations {
  Orchestration: { TaskHistoryRetentionLimit: number };
  Raft: {
    /** Entries of the log after which a checkpoint is due. */
    SnapshotInterval: number;
    /** Checkpoints before the present one that each manager keeps; {@linkcode MAX_OLD_SNAPSHOTS} at most. */
    KeepOldSnapshots: number;
    /** Entries kept behind a checkpoint. */
    LogEntriesForSlowFollowers: number;
    /**
     * Ticks of 100 ms without a leader after which somebody has stood for election at the latest, half of it at the
     * earliest; in force is at least twice `HeartbeatTick` and at most {@linkcode MAX_ELECTION_TICK}.
     */
    ElectionTick: number;
    /** Ticks of 100 ms between two heartbeats of the leader. */
    HeartbeatTick: number;
  };
  Dispatcher: { HeartbeatPeriod: number };
  CAConfig: {
    NodeCertExpiry: number;
    /**
     * How long a node may renew its certificate by the key that owns it after it has expired; 0: not at all. Not in Docker.
     * @default DEFAULT_RENEWAL_GRACE_NS
     */
    RenewalGracePeriod?: number;
    /** A number of the user's whose change asks for another root certificate. */
    ForceRotate?: number;
  };
  TaskDefaults: { LogDriver?: LogDriver };
  EncryptionConfig: { AutoLockManagers: boolean };
}

/** A certificate authority of the user's own, as a request names it; it is neither kept with the spec nor shown. PEM. */
export interface SigningCA {
  SigningCACert?: string;
  SigningCAKey?: string;
}

/** Another root on its way: it issues already, and takes the place of the present one when all nodes have its certificates. */
export interface RootRotation {
  /** PEM */
  CACert: string;
  /** PEM, PKCS#8 */
  CAKey: string;
  /** PEM: its key and name, signed by the present root. */
  CrossSignedCert: string;
}

/** A root that was replaced: its certificates are good for being renewed, by the key on record, and for nothing else. */
export interface FormerRoot {
  /** PEM */
  CACert: string;
  /** PEM: the root that followed it, signed by it, for nodes that know only this one. */
  CrossSignedCert: string;
}

/** Former roots remembered: with a rotation's, each node's chain holds as many certificates as a peer takes. */
export const MAX_FORMER_ROOTS = 2;

/** The cluster's certificate authority as stored. */
export interface ClusterRootCA {
  /** PEM */
  CACert: string;
  /** PEM, PKCS#8 */
  CAKey: string;
  JoinTokens: { Worker: string; Manager: string };
  RootRotation?: RootRotation;
  /** The newest first, at most {@linkcode MAX_FORMER_ROOTS}. */
  FormerRoots?: FormerRoot[];
}

/**
 * The cluster as stored.
 *
 * @example
 * ```ts
 * // What a node types to join.
 * function joinToken({ RootCA }: Pick<Cluster, "RootCA">, role: "Worker" | "Manager"): string {
 *   return RootCA.JoinTokens[role];
 * }
 * ```
 */
export interface Cluster extends Meta {
  Spec: ClusterSpec;
  RootCA: ClusterRootCA;
  /** Where networks that name no subnet get theirs from, in CIDR notation; Docker's pool where it is absent. */
  DefaultAddrPool?: string[];
  /** Bits of the mask of such a subnet; Docker's where it is absent. */
  SubnetSize?: number;
  /** UDP port that overlay networks use between nodes; Docker's where it is absent. */
  DataPathPort?: number;
  /** What managers are unlocked with, `SWMKEY-1-…`; there is one while the spec has them locked. Never shown or logged. */
  UnlockKey?: string;
  /** Certificates of removed nodes: node ID to the RFC 3339 time after which the entry can be dropped. */
  BlacklistedCertificates: Record<string, string>;
}

/** How long after its certificate's expiry a node may renew it, milliseconds. */
export function renewalGraceMs({ CAConfig }: Pick<ClusterSpec, "CAConfig">): number {
  return toMs(CAConfig.RenewalGracePeriod ?? DEFAULT_RENEWAL_GRACE_NS);
}
