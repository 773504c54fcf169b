import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import type { IssueNodeCertificateRequest } from "../../../api/ca.ts";
import { CoveyError, type ErrorCode, hasCode } from "../../../api/errors.ts";
import { systemRandom } from "../../../api/random.ts";
import { type CACallContext, CAServer, MAX_ISSUE_BURST, MAX_RENEW_BURST } from "../../../manager/ca/mod.ts";
import {
  createCertificateRequest,
  createJoinTokens,
  createPrivateKeyPEM,
  crossSign,
  joinCluster,
  publicKeyDigest,
  publicKeyOf,
  readCertificates,
  type VerifiedPeer,
  verifyPeerChain,
} from "../../../security/mod.ts";
import { decodeSinglePEM, encodePEM } from "../../../security/pem.ts";
import { createTestCluster, DAY_MS, openssl } from "../../security/fixtures.ts";
import { MemoryBackend } from "./memory_backend.ts";

const ANYONE: CACallContext = { peer: undefined, remoteAddress: "192.0.2.1:40000" };

async function setup() {
  const backend = await MemoryBackend.create();
  const { clock } = backend.testCluster;
  const server = new CAServer({ backend, clock, random: systemRandom });
  const [getRoot, issueMethod] = server.methods();
  const issue = (request: unknown, context = ANYONE) => issueMethod.handler(request, context);
  const verify = (certificate: string | undefined): VerifiedPeer =>
    verifyPeerChain(certificate ?? "", {
      roots: [backend.current.rootCertPEM],
      now: clock.now(),
      clusterID: backend.current.ID,
    });
  const csr = async (subject = {}) => await createCertificateRequest(await createPrivateKeyPEM(), subject);
  /** Joins a worker; resolves to the peer it is from then on. */
  const join = async (Token = backend.current.joinTokens.Worker) =>
    verify((await issue({ CSR: await csr(), Token })).Certificate);
  return { backend, server, getRoot, issueMethod, issue, verify, csr, join };
}

function refused(code: ErrorCode, message: RegExp) {
  return (e: unknown) => {
    assert.ok(hasCode(e, code), String(e));
    assert.match(e.message, message);
    return true;
  };
}

Deno.test("CA server: its two calls are unary and open to anyone", async () => {
  const { server, getRoot, backend } = await setup();
  assert.deepEqual(server.methods().map(({ name, kind, access }) => [name, kind, access]), [
    ["ca.getRootCACertificate", "unary", "anyone"],
    ["ca.issueNodeCertificate", "unary", "anyone"],
  ]);
  assert.deepEqual(await getRoot.handler({}, ANYONE), { Certificate: backend.current.rootCertPEM });
});

for (const [kind, role] of [["Worker", "worker"], ["Manager", "manager"]] as const) {
  Deno.test(`CA server: the ${role}'s token makes a ${role}, which is stored and recorded`, async () => {
    const { backend, issue, csr, verify } = await setup();
    const Token = backend.current.joinTokens[kind];
    const CSR = await csr();
    const answer = await issue({ CSR, Token, Availability: "drain" });
    const peer = verify(answer.Certificate);
    assert.deepEqual(
      [answer.Role, answer.Status, answer.RootCA, answer.ClusterID, answer.NodeID],
      [role, "issued", backend.current.rootCertPEM, "cluster1", peer.nodeID],
    );
    assert.equal(peer.role, `swarm-${role}`);
    assert.match(peer.nodeID, /^[0-9a-z]{25}$/);
    const { publicKeyDigest: digest } = peer;
    const node = { ID: peer.nodeID, Role: role, PublicKeyDigest: digest, Availability: "drain" };
    assert.deepEqual([...backend.nodes.values()], [node]);
    assert.deepEqual(backend.issued, [{
      nodeID: peer.nodeID,
      certificate: {
        PublicKeyDigest: digest,
        PublicKey: publicKeyIn(answer.Certificate!),
        Role: role,
        IssuedAt: "2026-01-01T00:00:00.000Z",
        ExpiresAt: "2026-04-01T00:00:00.000Z",
      },
    }]);
  });
}

/** DER in base64, as another reader of certificates finds it. */
function publicKeyIn(certificatePEM: string): string {
  return new X509Certificate(certificatePEM).publicKey.export({ type: "spki", format: "der" }).toString(
    "base64",
  );
}

Deno.test("CA server: missing, wrong, rotated and malformed tokens are refused and make no node", async () => {
  const { backend, issue, csr, join } = await setup();
  const CSR = await csr();
  const old = backend.current.joinTokens;
  const peer = await join();
  backend.current.joinTokens = createJoinTokens(backend.current.rootCertPEM, systemRandom);
  await assert.rejects(
    issue({ CSR }),
    refused("unauthenticated", /neither a join token nor a node certificate/),
  );
  for (const Token of [old.Worker, old.Manager]) {
    await assert.rejects(
      issue({ CSR, Token }),
      refused("permission_denied", /not valid, it may have been rotated/),
    );
  }
  await assert.rejects(
    issue({ CSR, Token: "x" }),
    refused("invalid_argument", /Token: it does not start with/),
  );
  assert.equal(backend.nodes.size, 1);
  const renewed = await issue({ CSR }, { ...ANYONE, peer });
  assert.equal(renewed.NodeID, peer.nodeID, "existing nodes do not notice a rotation");
});

Deno.test("CA server: a request that names itself another node, cluster or role is overridden", async () => {
  const { backend, issue, csr, verify } = await setup();
  const CSR = await csr({ CN: "somebody", O: "elsewhere", OU: "swarm-manager" });
  const answer = await issue({ CSR, Token: backend.current.joinTokens.Worker });
  const peer = verify(answer.Certificate);
  assert.deepEqual([peer.nodeID, peer.clusterID, peer.role], [answer.NodeID, "cluster1", "swarm-worker"]);
  const { output } = await openssl(["x509", "-in", "n.pem", "-noout", "-text"], {
    "n.pem": answer.Certificate!,
  });
  assert.doesNotMatch(output, /somebody|elsewhere|swarm-manager/);
});

Deno.test("CA server: a renewal keeps the node's ID, needs no token and takes the role of the node's spec", async () => {
  const { backend, issue, csr, join, verify } = await setup();
  const peer = await join();
  const again = verify((await issue({ CSR: await csr() }, { ...ANYONE, peer })).Certificate);
  assert.deepEqual([again.nodeID, again.role], [peer.nodeID, "swarm-worker"]);
  assert.notEqual(again.publicKeyDigest, peer.publicKeyDigest);
  assert.equal(backend.issued.at(-1)?.certificate.PublicKeyDigest, again.publicKeyDigest);

  backend.nodes.get(peer.nodeID)!.Role = "manager";
  const CSR = await csr({ OU: "swarm-worker" });
  const promoted = await issue({ CSR, Token: backend.current.joinTokens.Worker }, { ...ANYONE, peer });
  assert.deepEqual([promoted.Role, verify(promoted.Certificate).role], ["manager", "swarm-manager"]);
  assert.equal(backend.nodes.size, 1);
});

Deno.test("CA server: removed nodes and other clusters' nodes cannot renew", async () => {
  const { backend, issue, csr, join } = await setup();
  const CSR = await csr();
  const [blocked, gone] = [await join(), await join()];
  backend.blocked.add(blocked.nodeID);
  backend.nodes.delete(gone.nodeID);
  for (const peer of [blocked, gone]) {
    await assert.rejects(
      issue({ CSR }, { ...ANYONE, peer }),
      refused("permission_denied", /was removed from/),
    );
  }
  const foreign = { ...blocked, clusterID: "other" };
  await assert.rejects(
    issue({ CSR }, { ...ANYONE, peer: foreign }),
    refused("permission_denied", /certificate is of cluster other, this is cluster1/),
  );
});

Deno.test("CA server: an expired certificate is renewed within the grace, by the key that was certified last", async () => {
  const { backend, issue, csr, join } = await setup();
  const { clock } = backend.testCluster;
  const [peer, superseded, removed] = [await join(), await join(), await join()];
  await issue({ CSR: await csr() }, { ...ANYONE, peer: superseded });
  await clock.advance(190 * DAY_MS);

  await assert.rejects(
    issue({ CSR: await csr() }, { ...ANYONE, peer: superseded }),
    refused("permission_denied", /expired on 2026-04-01T.* and a newer one was issued since/),
  );
  backend.nodes.delete(removed.nodeID);
  await assert.rejects(
    issue({ CSR: await csr() }, { ...ANYONE, peer: removed }),
    refused("permission_denied", /was removed from the cluster/),
  );
  // The answer is lost, and the node asks again with its old certificate and the same new key.
  const CSR = await csr();
  for (const context of [{ ...ANYONE, peer }, { ...ANYONE, peer }, { ...ANYONE, forwardedFor: peer }]) {
    assert.equal((await issue({ CSR }, context)).NodeID, peer.nodeID);
  }
  await assert.rejects(
    issue({ CSR: await csr() }, { ...ANYONE, peer }),
    refused("permission_denied", /a newer one was issued since/),
    "a copy of the old key is of no use",
  );
});

Deno.test("CA server: beyond the grace only a token helps, which restores the same node for its key", async () => {
  const { backend, issue, verify } = await setup();
  const { clock } = backend.testCluster;
  const Token = backend.current.joinTokens.Worker;
  const privateKeyPEM = await createPrivateKeyPEM();
  const CSR = await createCertificateRequest(privateKeyPEM);
  const peer = verify((await issue({ CSR, Token })).Certificate);
  await clock.advance(270 * DAY_MS + 1_000);
  await assert.rejects(
    issue({ CSR }, { ...ANYONE, peer }),
    refused("unauthenticated", /expired on 2026-04-01.*, and it could be renewed for 180 days/),
  );
  const again = await issue({ CSR, Token, ReissueNodeID: peer.nodeID });
  assert.deepEqual([again.NodeID, backend.nodes.size], [peer.nodeID, 1]);
  const late = verify(again.Certificate);
  await clock.advance(270 * DAY_MS);
  assert.equal((await issue({ CSR }, { ...ANYONE, peer: late })).NodeID, peer.nodeID, "the last moment");
  backend.current.renewalGraceMs = 0;
  await assert.rejects(issue({ CSR }, { ...ANYONE, peer: late }), refused("unauthenticated", /for 0 days/));
});

Deno.test("CA server: the same key asked for twice, even at once, is one node", async () => {
  const { backend, issue, csr } = await setup();
  const request = { CSR: await csr(), Token: backend.current.joinTokens.Worker };
  const answers = await Promise.all([issue(request), issue(request), issue(request)]);
  answers.push(await issue(request));
  assert.equal(new Set(answers.map((each) => each.NodeID)).size, 1);
  assert.equal(backend.nodes.size, 1);
  backend.blocked.add(answers[0]!.NodeID);
  await assert.rejects(issue(request), refused("permission_denied", /was removed from the cluster/));
});

Deno.test("CA server: a failed creation is not remembered", async () => {
  const { backend, issue, csr } = await setup();
  const request = { CSR: await csr(), Token: backend.current.joinTokens.Worker };
  const { createNode } = backend;
  backend.createNode = () => {
    throw new CoveyError("unavailable", "Cannot commit: no leader");
  };
  await assert.rejects(issue(request), refused("unavailable", /no leader/));
  backend.createNode = createNode;
  assert.equal((await issue(request)).Status, "issued");
});

Deno.test("CA server: a worker's token does not restore a manager by its old key", async () => {
  const { backend, issue, csr } = await setup();
  const { Manager, Worker } = backend.current.joinTokens;
  const CSR = await csr();
  const { NodeID } = await issue({ CSR, Token: Manager });
  await assert.rejects(issue({ CSR, Token: Worker }), refused("permission_denied", /is a manager/));
  assert.equal((await issue({ CSR, Token: Manager })).NodeID, NodeID);
});

Deno.test("CA server: ReissueNodeID gets its own node back, never another's and never a new one", async () => {
  const { backend, issue, csr, join } = await setup();
  const Token = backend.current.joinTokens.Worker;
  const CSR = await csr();
  const { NodeID } = await issue({ CSR, Token });
  assert.equal((await issue({ CSR, Token, ReissueNodeID: NodeID })).NodeID, NodeID);
  const other = await join();
  for (const [request, id] of [[CSR, other.nodeID], [await csr(), NodeID]]) {
    await assert.rejects(
      issue({ CSR: request, Token, ReissueNodeID: id }),
      refused("not_found", /is not known under the key of this request/),
    );
  }
  assert.equal(backend.nodes.size, 2);
});

Deno.test("CA server: a pending node gets no certificate until it is accepted", async () => {
  const { backend, issue, csr } = await setup();
  backend.acceptLater = true;
  const request = { CSR: await csr(), Token: backend.current.joinTokens.Worker };
  const pending = await issue(request);
  assert.deepEqual([pending.Status, pending.Certificate, backend.issued.length], ["pending", undefined, 0]);
  backend.nodes.get(pending.NodeID)!.Pending = false;
  const accepted = await issue(request);
  assert.deepEqual([accepted.Status, accepted.NodeID], ["issued", pending.NodeID]);
});

Deno.test("CA server: every bad field is named, all of them at once", async () => {
  const { issue } = await setup();
  await assert.rejects(
    issue({ CSR: 5, Token: "x".repeat(257), Availability: "gone", ReissueNodeID: {} }),
    (e) => {
      assert.ok(hasCode(e, "invalid_argument"));
      assert.deepEqual(e.problems, [
        { field: "CSR", message: "cannot unmarshal number into string" },
        { field: "Token", message: "has 257 characters, at most 256 are allowed" },
        {
          field: "Availability",
          message: 'must be one of active, pause, drain: current value is "gone"',
        },
        { field: "ReissueNodeID", message: "cannot unmarshal object into string" },
      ]);
      return true;
    },
  );
  await assert.rejects(issue({}), refused("invalid_argument", /CSR: is required/));
  await assert.rejects(
    issue({ CSR: "x".repeat(9000) }),
    refused("invalid_argument", /9000 characters, at most 8192/),
  );
  for (const request of [undefined, null, 1, "x", []]) {
    await assert.rejects(
      issue(request),
      refused("invalid_argument", /body: cannot unmarshal \w+ into object/),
    );
  }
});

Deno.test("CA server: garbage requests are typed errors that make no node, with a token or a certificate", async () => {
  const { backend, issueMethod, csr, join } = await setup();
  const peer = await join();
  const der = decodeSinglePEM("CERTIFICATE REQUEST", await csr());
  const anyField = fc.option(fc.anything(), { nil: undefined });
  const garbage: fc.Arbitrary<unknown> = fc.oneof(
    fc.anything(),
    fc.record({ CSR: anyField, Token: anyField, Availability: anyField, ReissueNodeID: anyField }),
    fc.tuple(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, by]) => {
      const mutated = Uint8Array.from(der);
      mutated[at] = mutated[at]! ^ by;
      return { CSR: encodePEM("CERTIFICATE REQUEST", mutated), Token: backend.current.joinTokens.Worker };
    }),
  );
  let calls = 0;
  await fc.assert(
    fc.asyncProperty(garbage, fc.boolean(), async (request, withPeer) => {
      const from = { ...ANYONE, remoteAddress: `198.51.100.${calls++ % 256}` };
      const context = withPeer ? { ...from, peer: { ...peer, nodeID: `${calls}` } } : from;
      if (withPeer) backend.nodes.set(`${calls}`, { ...backend.nodes.get(peer.nodeID)!, ID: `${calls}` });
      const size = backend.nodes.size;
      await assert.rejects(issueMethod.handler(request, context), (e) => e instanceof CoveyError);
      assert.equal(backend.nodes.size, size);
    }),
    { numRuns: 500 },
  );
  assert.equal(backend.issued.length, 1);
});

Deno.test("CA server: a join that a manager passes on never yields the manager's identity", async () => {
  const { backend, issue, csr, join, verify } = await setup();
  const { Worker, Manager } = backend.current.joinTokens;
  const [manager, worker] = [await join(Manager), await join(Worker)];
  const passedOn = verify(
    (await issue({ CSR: await csr(), Token: Worker }, { ...ANYONE, peer: manager })).Certificate,
  );
  assert.notEqual(passedOn.nodeID, manager.nodeID);
  assert.equal(passedOn.role, "swarm-worker");
  const context = { ...ANYONE, peer: manager, forwardedFor: worker };
  const renewed = verify((await issue({ CSR: await csr() }, context)).Certificate);
  assert.deepEqual([renewed.nodeID, renewed.role], [worker.nodeID, "swarm-worker"]);
});

Deno.test("CA server: a follower checks, then passes on who asks; what proves nothing stays there", async () => {
  const { backend, issue, csr, join } = await setup();
  const { Worker, Manager } = backend.current.joinTokens;
  const [leader, follower, worker] = [await join(Manager), await join(Manager), await join(Worker)];
  assert.equal(leader.role, "swarm-manager");
  const passed: [IssueNodeCertificateRequest, string | undefined][] = [];
  const server = new CAServer({
    backend,
    clock: backend.testCluster.clock,
    random: systemRandom,
    leader: () => (request, node) => {
      passed.push([request, node?.nodeID]);
      return issue(request, {
        ...ANYONE,
        peer: follower,
        ...(node && { forwardedFor: node as VerifiedPeer }),
      });
    },
  });
  const ask = (request: unknown, context = ANYONE) => server.methods()[1].handler(request, context);
  const CSR = await csr();
  const joined = await ask({ CSR, Token: Worker, Sneaked: "in" });
  assert.equal(joined.Role, "worker");
  assert.equal((await ask({ CSR: await csr() }, { ...ANYONE, peer: worker })).NodeID, worker.nodeID);
  await assert.rejects(ask({ CSR }), refused("unauthenticated", /neither a join token/));
  await assert.rejects(ask({ CSR, Token: "x" }), refused("invalid_argument", /Token/));
  assert.deepEqual(passed.map(([, node]) => node), [undefined, worker.nodeID]);
  assert.deepEqual(passed[0]![0], { CSR, Token: Worker });
});

Deno.test("CA server: one address or node that asks too often waits, others do not", async () => {
  const { backend, issue, csr, join } = await setup();
  const Token = createJoinTokens(backend.current.rootCertPEM, systemRandom).Worker;
  const request: IssueNodeCertificateRequest = { CSR: "x", Token };
  const peer = await join();
  for (let i = 1; i < MAX_ISSUE_BURST; i++) {
    const context = { ...ANYONE, remoteAddress: `192.0.2.1:${i}` };
    await assert.rejects(issue(request, context), refused("permission_denied", /./));
  }
  await assert.rejects(issue(request), (e) => hasCode(e, "resource_exhausted") && e.retryable);
  await assert.rejects(
    issue(request, { ...ANYONE, remoteAddress: "[2001:db8::1]:1" }),
    refused("permission_denied", /./),
  );
  const CSR = await csr();
  for (let i = 0; i < MAX_RENEW_BURST; i++) await issue({ CSR }, { ...ANYONE, peer });
  await assert.rejects(
    issue({ CSR }, { ...ANYONE, peer }),
    refused("resource_exhausted", /too many requests/),
  );
  await backend.testCluster.clock.advance(5_000);
  await issue({ CSR }, { ...ANYONE, peer });
  await assert.rejects(issue(request), refused("permission_denied", /./));
});

Deno.test("CA server and joiner: a node joins by token, end to end", async () => {
  const { backend, getRoot, issue } = await setup();
  const privateKeyPEM = await createPrivateKeyPEM();
  const identity = await joinCluster({
    token: backend.current.joinTokens.Manager,
    privateKeyPEM,
    clock: backend.testCluster.clock,
    getRootCA: async () => (await getRoot.handler({}, ANYONE)).Certificate,
    issueNodeCertificate: (request) => issue(request),
  });
  assert.deepEqual([identity.role, identity.clusterID], ["swarm-manager", "cluster1"]);
  const digest = publicKeyDigest(publicKeyOf(privateKeyPEM));
  assert.equal(backend.nodeByPublicKey(digest)?.ID, identity.nodeID);
});

Deno.test("CA server: a certificate by a root that was replaced is renewed by the key on record, and uses up nobody's renewals", async () => {
  const { backend, issue, csr, join } = await setup();
  const old = backend.testCluster, peer = await join();
  const next = await createTestCluster(backend.current.ID, old.clock);
  const intermediatesPEM = await crossSign(old.root, next.root.certificatePEM, {
    ...old,
    random: systemRandom,
  });
  Object.assign(backend.current, {
    rootCertPEM: next.root.certificatePEM,
    signer: { ...next.root, intermediatesPEM },
    trustedRoots: [next.root.certificatePEM],
  });
  // Whoever has the old root's key, and neither of the node's.
  const forged = (await old.node(peer.nodeID, "swarm-manager")).certificatePEM;
  for (let i = 0; i < 2 * MAX_RENEW_BURST; i++) {
    await assert.rejects(
      issue({ CSR: await csr() }, {
        ...ANYONE,
        peer: { ...peer, role: "swarm-manager", certificatePEM: forged },
      }),
      refused("permission_denied", /by a root that was replaced, and its key is not the one on record/),
    );
  }
  const lost = await csr();
  const answer = await issue({ CSR: lost }, { ...ANYONE, peer });
  assert.equal(readCertificates(answer.Certificate!).length, 2);
  const roots = (root: string) =>
    verifyPeerChain(answer.Certificate!, { roots: [root], now: old.clock.now() });
  assert.deepEqual([roots(old.root.certificatePEM).role, roots(next.root.certificatePEM).role], [
    peer.role,
    peer.role,
  ]);
  // The answer is lost: the node asks again with the old certificate and the same key; with another one it is refused.
  assert.equal((await issue({ CSR: lost }, { ...ANYONE, peer })).NodeID, peer.nodeID);
  await assert.rejects(
    issue({ CSR: await csr() }, { ...ANYONE, peer }),
    refused("permission_denied", /on record/),
  );
});
