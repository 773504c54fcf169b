/** The certificate authority's view of the state store. */
import { renewalGraceMs } from "../../api/cluster.ts";
import { requireCluster } from "../cluster/cluster_object.ts";
import { signerOf, trustedRoots } from "../cluster/root_ca.ts";
import { toMs } from "../../api/duration.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Node, NodeCertificate } from "../../api/node.ts";
import type { Store } from "../store/store.ts";
import type { CABackend, CACluster, CANewNode, CANode } from "./ca_backend.ts";

/** Reads and writes nodes and the cluster through the store. */
export class StoreCABackend implements CABackend {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  cluster(): CACluster {
    const cluster = requireCluster(this.#store), { ID, RootCA, Spec, BlacklistedCertificates } = cluster;
    return {
      ID,
      rootCertPEM: RootCA.CACert,
      signer: signerOf(RootCA),
      trustedRoots: trustedRoots(cluster),
      joinTokens: RootCA.JoinTokens,
      nodeCertExpiryMs: toMs(Spec.CAConfig.NodeCertExpiry),
      renewalGraceMs: renewalGraceMs(Spec),
      blocked: (nodeID) => Object.hasOwn(BlacklistedCertificates, nodeID),
    };
  }

  nodeByID(nodeID: string): CANode | undefined {
    return asCANode(this.#store.get("nodes", nodeID));
  }

  nodeByPublicKey(digest: string): CANode | undefined {
    return asCANode(this.#store.find("nodes", "publicKeyDigest", digest)[0]);
  }

  async createNode({ ID, Role, PublicKeyDigest, Availability }: CANewNode): Promise<CANode> {
    const node: Node = {
      ID,
      Version: { Index: 0 },
      CreatedAt: "",
      UpdatedAt: "",
      Spec: { Name: "", Labels: {}, Role, Availability },
      Role,
      Status: { State: "unknown", Addr: "" },
      Certificate: { PublicKeyDigest, Role, IssuedAt: "", ExpiresAt: "" },
    };
    await this.#store.update((tx) => tx.create("nodes", node));
    return { ID, Role };
  }

  async recordIssued(nodeID: string, certificate: NodeCertificate): Promise<void> {
    await this.#store.update((tx) => {
      const node = tx.get("nodes", nodeID);
      if (!node) throw new CoveyError("not_found", `Cannot issue a certificate: node ${nodeID} was removed`);
      const { Renewal } = node;
      tx.update("nodes", {
        ...node,
        Certificate: certificate,
        ...(Renewal && { Renewal: { ...Renewal, Done: true } }),
      });
    });
  }
}

function asCANode(node: Node | undefined): CANode | undefined {
  if (!node) return undefined;
  const { ID, Role, Certificate } = node;
  return { ID, Role, ...(Certificate && { PublicKeyDigest: Certificate.PublicKeyDigest }) };
}
