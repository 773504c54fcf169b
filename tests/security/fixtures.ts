/** What the security tests share: clusters, identities, and OpenSSL as the independent judge. */
import type { CertificateRole } from "../../api/ca.ts";
import { systemRandom } from "../../api/random.ts";
import {
  assembleIdentity,
  createPrivateKeyPEM,
  createRootCA,
  issueNodeCertificate,
  type NodeIdentity,
  publicKeyOf,
  type RootCA,
} from "../../security/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";

export const DAY_MS = 24 * 3_600_000;

/** A cluster's authority with its own virtual time. */
export interface TestCluster {
  clock: FakeClock;
  root: RootCA;
  clusterID: string;
  issue(privateKeyPEM: string, nodeID: string, role?: CertificateRole, expiryMs?: number): Promise<string>;
  node(nodeID: string, role?: CertificateRole, expiryMs?: number): Promise<NodeIdentity>;
}

export async function createTestCluster(
  clusterID = "cluster1",
  clock = new FakeClock(),
  given?: RootCA,
): Promise<TestCluster> {
  const context = { clock, random: systemRandom };
  const root = given ?? await createRootCA(context);
  const issue: TestCluster["issue"] = (
    privateKeyPEM,
    nodeID,
    role = "swarm-worker",
    expiryMs = 90 * DAY_MS,
  ) => {
    const publicKey = publicKeyOf(privateKeyPEM);
    return issueNodeCertificate(root, { publicKey, nodeID, clusterID, role, expiryMs }, context);
  };
  return {
    clock,
    root,
    clusterID,
    issue,
    async node(nodeID, role, expiryMs) {
      const privateKeyPEM = await createPrivateKeyPEM();
      const certificateChainPEM = await issue(privateKeyPEM, nodeID, role, expiryMs);
      return assembleIdentity({ rootCAPEM: root.certificatePEM, certificateChainPEM, privateKeyPEM });
    },
  };
}

/** Runs OpenSSL on `files`, written to a folder of its own; resolves to its exit status and all output. */
export async function openssl(
  args: readonly string[],
  files: Record<string, string>,
): Promise<{ ok: boolean; output: string }> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${folder}/${name}`, text);
    const { success, stdout, stderr } = await new Deno.Command("openssl", { args: [...args], cwd: folder })
      .output();
    const decoder = new TextDecoder();
    return { ok: success, output: decoder.decode(stdout) + decoder.decode(stderr) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
