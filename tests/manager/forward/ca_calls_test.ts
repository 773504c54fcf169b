import assert from "node:assert/strict";
import { CA_METHODS, type IssueNodeCertificateResponse } from "../../../api/ca.ts";
import { CoveyError } from "../../../api/errors.ts";
import { LEADER_WAIT_MS } from "../../../manager/forward/leader_link.ts";
import { signerOf } from "../../../manager/cluster/root_ca.ts";
import { createCertificateRequest, createPrivateKeyPEM, verifyPeerChain } from "../../../security/mod.ts";
import { createTestCluster } from "../../security/fixtures.ts";
import { settle } from "../../support/fake_clock.ts";
import { identityOf } from "../../support/transport.ts";
import { type Quorum, withQuorum } from "./quorum.ts";

const issue = CA_METHODS.issueNodeCertificate;

async function csr(): Promise<string> {
  return await createCertificateRequest(await createPrivateKeyPEM());
}

function tokens({ managers }: Quorum) {
  return managers.m1!.store.all("clusters")[0]!.RootCA.JoinTokens;
}

/** The node that a certificate of the cluster names. */
function certified({ managers, clock }: Quorum, answer: IssueNodeCertificateResponse) {
  const roots = [managers.m1!.store.all("clusters")[0]!.RootCA.CACert];
  return verifyPeerChain(answer.Certificate!, { roots, now: clock.now() });
}

Deno.test("CA: a device joins through a follower", async () => {
  await withQuorum(async (quorum) => {
    const { managers, dial } = quorum;
    const answer = await (await dial("m2", undefined)).call<IssueNodeCertificateResponse>(issue, {
      CSR: await csr(),
      Token: tokens(quorum).Worker,
    });
    const { nodeID, role, clusterID } = certified(quorum, answer);
    assert.deepEqual([nodeID, role, clusterID], [answer.NodeID, "swarm-worker", "cluster1"]);
    assert.equal(managers.m3!.store.get("nodes", nodeID)?.Role, "worker");
  });
});

Deno.test("CA: a renewal through a follower is the device's, also when the device is a manager or the follower itself", async () => {
  await withQuorum(async (quorum) => {
    const { RootCA } = quorum.managers.m1!.store.all("clusters")[0]!;
    const issuer = await createTestCluster("cluster1", quorum.clock, signerOf(RootCA));
    for (const id of ["w1", "m2", "m3"]) {
      const role = id === "w1" ? "swarm-worker" : "swarm-manager";
      const { certificatePEM } = await issuer.node(id, role);
      const connection = await quorum.dial("m2", { ...identityOf(id, role), certificatePEM });
      const answer = await connection.call<IssueNodeCertificateResponse>(issue, { CSR: await csr() });
      const named = certified(quorum, answer);
      assert.deepEqual([named.nodeID, named.role], [id, role]);
    }
  });
});

Deno.test("CA: who proves nothing gets nothing through a follower, least of all the follower's identity", async () => {
  await withQuorum(async (quorum) => {
    const { dial, managers } = quorum;
    const before = managers.m1!.store.count("nodes");
    const stranger = await dial("m2", undefined);
    const code = (request: unknown) =>
      stranger.call(issue, request).then(() => "ok", (error: CoveyError) => error.code);
    assert.equal(await code({ CSR: await csr() }), "unauthenticated");
    const Token = tokens(quorum).Worker.slice(0, -1) + "0";
    assert.match(await code({ CSR: await csr(), Token }), /permission_denied|invalid_argument/);
    assert.equal(managers.m1!.store.count("nodes"), before);
    const forged = (await dial("m2", identityOf("w1"))).call(issue, { CSR: await csr() }, {
      forwardedFor: identityOf("m1", "swarm-manager"),
    });
    await assert.rejects(forged, { code: "permission_denied" });
  });
});

Deno.test("CA: a join waits for the leader, makes one node although its connection broke, and fails retryable", async () => {
  await withQuorum(async (quorum) => {
    const { clock, group, network, dial, managers } = quorum;
    const before = managers.m1!.store.count("nodes");
    const stranger = await dial("m2", undefined);
    const request = { CSR: await csr(), Token: tokens(quorum).Worker };
    const held = Promise.withResolvers<void>();
    group.beforeCommit = () => held.promise;
    const joining = stranger.call<IssueNodeCertificateResponse>(issue, request);
    await settle(20);
    network.setLink("m1", "m2", "cut");
    group.beforeCommit = undefined;
    held.resolve();
    await settle(20);
    group.elect("m2");
    const answer = await joining;
    assert.equal(certified(quorum, answer).nodeID, answer.NodeID);
    assert.equal(managers.m3!.store.count("nodes"), before + 1);
    group.elect(undefined);
    const failing = stranger.call(issue, request).then(() => assert.fail(), (error: CoveyError) => error);
    await clock.advance(LEADER_WAIT_MS);
    const error = await failing;
    assert.deepEqual([error.code, error.retryable], ["unavailable", true]);
  });
});

Deno.test("CA: a call that a manager passed on to a follower goes no further", async () => {
  await withQuorum(async (quorum) => {
    const connection = await quorum.dial("m2", identityOf("m3", "swarm-manager"));
    const join = connection.call(issue, { CSR: await csr(), Token: tokens(quorum).Worker });
    await assert.rejects(join, { code: "unavailable", message: /not the leader/ });
    const renewal = connection.call(issue, { CSR: await csr() }, { forwardedFor: identityOf("w1") });
    await assert.rejects(renewal, { code: "unavailable", message: /not the leader/ });
    assert.equal(quorum.managers.m1!.listener.connections, 0);
  });
});
