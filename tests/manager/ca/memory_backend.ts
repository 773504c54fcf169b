import type { NodeCertificate } from "../../../api/node.ts";
import { systemRandom } from "../../../api/random.ts";
import type { CABackend, CACluster, CANewNode, CANode } from "../../../manager/ca/mod.ts";
import { createJoinTokens } from "../../../security/mod.ts";
import { createTestCluster, DAY_MS, type TestCluster } from "../../security/fixtures.ts";

/** The CA's view of a store, in memory; writes take a turn of the event loop, as commits do. */
export class MemoryBackend implements CABackend {
  readonly nodes = new Map<string, CANewNode>();
  readonly issued: { nodeID: string; certificate: NodeCertificate }[] = [];
  readonly blocked = new Set<string>();
  /** Whether new nodes wait for somebody to accept them. */
  acceptLater = false;
  readonly current: CACluster;

  constructor(readonly testCluster: TestCluster) {
    this.current = {
      ID: testCluster.clusterID,
      rootCertPEM: testCluster.root.certificatePEM,
      signer: testCluster.root,
      trustedRoots: [testCluster.root.certificatePEM],
      joinTokens: createJoinTokens(testCluster.root.certificatePEM, systemRandom),
      nodeCertExpiryMs: 90 * DAY_MS,
      renewalGraceMs: 180 * DAY_MS,
      blocked: (id) => this.blocked.has(id),
    };
  }

  static async create(clusterID?: string): Promise<MemoryBackend> {
    return new MemoryBackend(await createTestCluster(clusterID));
  }

  cluster(): CACluster {
    return this.current;
  }

  nodeByID(nodeID: string): CANode | undefined {
    return this.nodes.get(nodeID);
  }

  nodeByPublicKey(digest: string): CANode | undefined {
    return [...this.nodes.values()].find((node) => node.PublicKeyDigest === digest);
  }

  async createNode(node: CANewNode): Promise<CANode> {
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    const stored = this.acceptLater ? { ...node, Pending: true } : node;
    this.nodes.set(node.ID, stored);
    return stored;
  }

  recordIssued(nodeID: string, certificate: NodeCertificate): Promise<void> {
    this.issued.push({ nodeID, certificate });
    this.nodes.get(nodeID)!.PublicKeyDigest = certificate.PublicKeyDigest;
    return Promise.resolve();
  }
}
