import assert from "node:assert/strict";
import type { IssueNodeCertificateRequest } from "../../api/ca.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import {
  createCertificateRequest,
  createPrivateKeyPEM,
  type NodeIdentity,
  publicKeyDigest,
  readCertificateRequest,
  renewLate,
} from "../../security/mod.ts";
import { createTestCluster, DAY_MS } from "./fixtures.ts";

const TOO_LATE = new CoveyError("unauthenticated", "Cannot renew: too late");

/** A node whose CA knows one of its keys, and renews nothing that has expired. */
async function setup(knows: "old" | "pending" | "none") {
  const cluster = await createTestCluster();
  const identity = await cluster.node("n");
  const pending = await createPrivateKeyPEM();
  const csr = await createCertificateRequest(pending);
  const [old, next] = [
    publicKeyDigest(await readCertificateRequest(await createCertificateRequest(identity.privateKeyPEM))),
    publicKeyDigest(await readCertificateRequest(csr)),
  ];
  const reissued: string[] = [];
  const ca = {
    renew: async ({ notAfter }: NodeIdentity) => {
      if (cluster.clock.now() > notAfter) throw TOO_LATE;
      return await cluster.issue(pending, "n");
    },
    issueNodeCertificate: async ({ CSR, Token, ReissueNodeID }: IssueNodeCertificateRequest) => {
      assert.deepEqual([Token, ReissueNodeID], ["token", "n"]);
      const digest = publicKeyDigest(await readCertificateRequest(CSR));
      reissued.push(digest === old ? "old" : "pending");
      if (digest !== { old, pending: next, none: "" }[knows]) {
        throw new CoveyError("not_found", "no such key");
      }
      const Certificate = await cluster.issue(digest === old ? identity.privateKeyPEM : pending, "n");
      return {
        NodeID: "n",
        Role: "worker",
        Status: "issued",
        Certificate,
        RootCA: "",
        ClusterID: "",
      } as const;
    },
  };
  const renew = (token: string | undefined) => {
    const late = { ca, clock: cluster.clock, identity, token, pendingKeyPEM: () => Promise.resolve(pending) };
    return renewLate(late, csr, new AbortController().signal);
  };
  return { cluster, renew, reissued, pending };
}

Deno.test("Late renewal: a token serves only where the certificate has expired and cannot be renewed", async () => {
  const { cluster, renew, reissued } = await setup("old");
  assert.match(await renew("token"), /BEGIN CERTIFICATE/);
  assert.deepEqual(reissued, []);
  await cluster.clock.advance(300 * DAY_MS);
  await assert.rejects(renew(undefined), TOO_LATE);
  assert.match(await renew(" token\n"), /BEGIN CERTIFICATE/);
  assert.deepEqual(reissued, ["old"]);
});

Deno.test("Late renewal: where the answer to the last request was lost, the key of that one is known", async () => {
  const { cluster, renew, reissued } = await setup("pending");
  await cluster.clock.advance(300 * DAY_MS);
  assert.match(await renew("token"), /BEGIN CERTIFICATE/);
  assert.deepEqual(reissued, ["old", "pending"]);
});

Deno.test("Late renewal: a node that was removed hears both reasons", async () => {
  const { cluster, renew } = await setup("none");
  await cluster.clock.advance(300 * DAY_MS);
  await assert.rejects(
    renew("token"),
    (e) =>
      hasCode(e, "not_found") && e.message === "Cannot renew: too late; with the join token: no such key",
  );
});
