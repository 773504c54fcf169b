/** Normalizes and validates a swarm's `Spec` as it comes from a client. */
import { DAY_NS, HOUR_NS } from "../duration.ts";
import { type ClusterSpec, DEFAULT_CLUSTER_NAME, MAX_OLD_SNAPSHOTS, type SigningCA } from "../cluster.ts";
import { CoveyError, type FieldProblem } from "../errors.ts";
import {
  checkSize,
  flag,
  integer,
  line,
  nonZero,
  record,
  type Shaped,
  stringMap,
  textUpTo,
  unsupported,
} from "./shape.ts";

/** Nanoseconds of the shortest validity of a node certificate (SwarmKit: one hour). */
const MIN_CERT_EXPIRY = HOUR_NS;

/** What Docker's field for ticks holds; in force is what the quorum can do with. */
const MAX_TICKS = 2 ** 32 - 1;

/** Nanoseconds of the longest time after its expiry in which a certificate is renewed: ten years. */
const MAX_RENEWAL_GRACE = 10 * 365 * DAY_NS;

/** Bytes of a spec as JSON: it is in the log with every change of the cluster object, and read at each heartbeat. */
const MAX_SPEC_BYTES = 64 * 1024;

const noExternalCA = unsupported("external certificate authorities are not available yet");

/** Characters of a root certificate or its key, PEM: one of 4,096 bits has some 3,300, and text may stand before it. */
const MAX_SIGNING_CA_LENGTH = 16 * 1024;

const clusterShape = record({
  Name: line(),
  Labels: stringMap,
  Orchestration: record({ TaskHistoryRetentionLimit: integer(Number.MIN_SAFE_INTEGER) }),
  Raft: record({
    SnapshotInterval: nonZero(integer(0)),
    KeepOldSnapshots: integer(0, MAX_OLD_SNAPSHOTS),
    LogEntriesForSlowFollowers: nonZero(integer(0)),
    ElectionTick: nonZero(integer(0, MAX_TICKS)),
    HeartbeatTick: nonZero(integer(0, MAX_TICKS)),
  }),
  Dispatcher: record({
    HeartbeatPeriod: nonZero(integer(0, undefined, "heartbeat time period cannot be a negative duration")),
  }),
  CAConfig: record({
    NodeCertExpiry: nonZero(
      integer(MIN_CERT_EXPIRY, undefined, "minimum certificate expiry time is: 1h0m0s"),
    ),
    ForceRotate: nonZero(integer(0)),
    RenewalGracePeriod: integer(0, MAX_RENEWAL_GRACE),
    ExternalCAs: noExternalCA,
    SigningCACert: textUpTo(MAX_SIGNING_CA_LENGTH),
    SigningCAKey: textUpTo(MAX_SIGNING_CA_LENGTH),
  }),
  TaskDefaults: record({ LogDriver: record({ Name: line(), Options: stringMap }) }),
  EncryptionConfig: record({ AutoLockManagers: flag }),
});

/** Changes to a cluster spec, each part with the fields that were given. */
export type ClusterSpecChanges = Shaped<typeof clusterShape>;

/** Checks a client's spec. Throws `invalid_argument` with every problem. */
export function parseClusterSpec(body: unknown): ClusterSpecChanges {
  const problems: FieldProblem[] = [];
  const changes = clusterShape(body ?? {}, "", problems) ?? {};
  if (changes.Name !== undefined && changes.Name !== DEFAULT_CLUSTER_NAME) {
    problems.push({ field: "Name", message: `swarm spec must be named "${DEFAULT_CLUSTER_NAME}"` });
  }
  checkSize(changes, "spec", MAX_SPEC_BYTES, problems);
  if (problems.length > 0) throw CoveyError.invalid("use the swarm spec", problems);
  return changes;
}

/** The certificate authority that the changes bring along, if they do. */
export function signingCAOf({ CAConfig }: ClusterSpecChanges): SigningCA | undefined {
  const { SigningCACert, SigningCAKey } = CAConfig ?? {};
  if (SigningCACert === undefined && SigningCAKey === undefined) return undefined;
  return { ...(SigningCACert && { SigningCACert }), ...(SigningCAKey && { SigningCAKey }) };
}

/** `spec` with `changes` laid over it, but for the certificate authority, which is no part of it. */
export function mergeClusterSpec(spec: ClusterSpec, changes: ClusterSpecChanges): ClusterSpec {
  const { SigningCACert: _cert, SigningCAKey: _key, ...CAConfig } = changes.CAConfig ?? {};
  return {
    ...spec,
    Labels: changes.Labels ?? spec.Labels,
    Orchestration: { ...spec.Orchestration, ...changes.Orchestration },
    Raft: { ...spec.Raft, ...changes.Raft },
    Dispatcher: { ...spec.Dispatcher, ...changes.Dispatcher },
    CAConfig: { ...spec.CAConfig, ...CAConfig } as ClusterSpec["CAConfig"],
    TaskDefaults: { ...spec.TaskDefaults, ...changes.TaskDefaults } as ClusterSpec["TaskDefaults"],
    EncryptionConfig: { ...spec.EncryptionConfig, ...changes.EncryptionConfig },
  };
}
