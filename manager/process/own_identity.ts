/** The first manager's certificate, which nobody else could issue. */
import { toMs } from "../../api/duration.ts";
import type { Clock } from "../../api/clock.ts";
import type { Cluster } from "../../api/cluster.ts";
import type { Random } from "../../api/random.ts";
import { type IdentityFiles, issueNodeCertificate, publicKeyOf } from "../../security/mod.ts";

/** A manager's certificate for the key `privateKeyPEM`, signed with the cluster's root. */
export async function issueOwnIdentity(
  cluster: Cluster,
  nodeID: string,
  privateKeyPEM: string,
  context: { clock: Clock; random: Random },
): Promise<IdentityFiles> {
  const { CACert, CAKey } = cluster.RootCA;
  const certificateChainPEM = await issueNodeCertificate({ certificatePEM: CACert, privateKeyPEM: CAKey }, {
    publicKey: publicKeyOf(privateKeyPEM),
    nodeID,
    clusterID: cluster.ID,
    role: "swarm-manager",
    expiryMs: toMs(cluster.Spec.CAConfig.NodeCertExpiry),
  }, context);
  return { rootCAPEM: CACert, certificateChainPEM, privateKeyPEM };
}
