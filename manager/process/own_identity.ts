/** A manager's certificate that nobody else could issue: of the first one, and of one that was off until its own expired. */
import { type Clock, timestamp } from "../../api/clock.ts";
import { toMs } from "../../api/duration.ts";
import type { Cluster } from "../../api/cluster.ts";
import type { Random } from "../../api/random.ts";
import {
  type IdentityFiles,
  issueNodeCertificate,
  type NodeIdentity,
  publicKeyOf,
  readCertificate,
} from "../../security/mod.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import { signerOf } from "../cluster/root_ca.ts";
import type { ReadView, Store } from "../store/store.ts";

/**
 * The part of a certificate's life after which a manager that nobody renews signs for itself: with an expired one no
 * manager would talk to it, and a quorum whose certificates expire together could not come together any more.
 */
const LAST_RESORT = 0.95;

/** A manager's certificate for the key `privateKeyPEM`, signed with the cluster's root. */
export async function issueOwnIdentity(
  cluster: Cluster,
  nodeID: string,
  privateKeyPEM: string,
  context: { clock: Clock; random: Random },
): Promise<IdentityFiles> {
  const { CACert } = cluster.RootCA;
  const certificateChainPEM = await issueNodeCertificate(signerOf(cluster.RootCA), {
    publicKey: publicKeyOf(privateKeyPEM),
    nodeID,
    clusterID: cluster.ID,
    role: "swarm-manager",
    expiryMs: toMs(cluster.Spec.CAConfig.NodeCertExpiry),
  }, context);
  return { rootCAPEM: CACert, certificateChainPEM, privateKeyPEM };
}

/** Whether this manager's own state says that it is one: then it holds the root's key by right, and may sign for itself. */
export function maySignOwn(view: ReadView, nodeID: string): boolean {
  const cluster = clusterOf(view);
  return cluster !== undefined && !Object.hasOwn(cluster.BlacklistedCertificates, nodeID) &&
    view.get("nodes", nodeID)?.Role === "manager";
}

/** Whether it is time to do so. */
export function isLastResort({ notBefore, notAfter }: NodeIdentity, now: number): boolean {
  return now > notBefore + (notAfter - notBefore) * LAST_RESORT;
}

/** Notes the certificate as the CA does; on the leader only: others have it noted by their next renewal. */
export async function recordOwn(store: Store, identity: NodeIdentity, clock: Clock): Promise<void> {
  const { publicKeyDigest, notAfter } = readCertificate(identity.certificatePEM);
  await store.update((tx) => {
    const node = tx.get("nodes", identity.nodeID);
    if (!node) return;
    const Certificate = {
      PublicKeyDigest: publicKeyDigest,
      PublicKey: publicKeyOf(identity.privateKeyPEM).toBase64(),
      Role: "manager" as const,
      IssuedAt: timestamp(clock),
      ExpiresAt: new Date(notAfter).toISOString(),
    };
    const { Renewal } = node;
    tx.update("nodes", { ...node, Certificate, ...(Renewal && { Renewal: { ...Renewal, Done: true } }) });
  });
}
