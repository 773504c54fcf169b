import assert from "node:assert/strict";
import { systemClock } from "../../../api/clock.ts";
import { hasCode } from "../../../api/errors.ts";
import { systemRandom } from "../../../api/random.ts";
import { CAServer } from "../../../manager/ca/mod.ts";
import {
  createCertificateRequest,
  createPrivateKeyPEM,
  joinCluster,
  type NodeIdentity,
  RemoteCA,
  verifyPeerChain,
} from "../../../security/mod.ts";
import { createRouter, type Listener, listenTLS } from "../../../transport/mod.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { createTestCluster } from "../../security/fixtures.ts";
import { MemoryBackend } from "./memory_backend.ts";

/** A manager of its own cluster on a real port, whose certificates are judged as in production. */
async function startManager() {
  const cluster = await createTestCluster("cluster1", new FakeClock(Date.now()));
  const backend = new MemoryBackend(cluster);
  const manager = await cluster.node("manager1", "swarm-manager");
  const router = createRouter();
  for (
    const { name, ...method } of new CAServer({ backend, clock: systemClock, random: systemRandom }).methods()
  ) {
    router.register(name, method);
  }
  const listener: Listener = await listenTLS({
    listen: "127.0.0.1:0",
    router,
    clock: systemClock,
    identity: () => ({ certificatePEM: manager.certificateChainPEM, privateKeyPEM: manager.privateKeyPEM }),
    verifyPeer: (chain) =>
      chain === undefined ? undefined : verifyPeerChain(chain, {
        roots: [backend.current.rootCertPEM],
        now: systemClock.now(),
        clusterID: backend.current.ID,
      }),
  });
  const remote = new RemoteCA({ addresses: () => [listener.address], clock: systemClock });
  const join = async (token: string): Promise<NodeIdentity> =>
    await joinCluster({
      token,
      privateKeyPEM: await createPrivateKeyPEM(),
      clock: systemClock,
      getRootCA: (check) => remote.getRootCA(check),
      issueNodeCertificate: (request, rootCAPEM) => remote.issueNodeCertificate(request, rootCAPEM),
    });
  return { backend, listener, remote, join };
}

Deno.test("CA over TLS: a node joins by token, renews by certificate, and cannot once it is removed", async () => {
  const { backend, listener, remote, join } = await startManager();
  try {
    const identity = await join(backend.current.joinTokens.Worker);
    assert.equal(identity.role, "swarm-worker");
    const renew = async () => {
      const csr = await createCertificateRequest(await createPrivateKeyPEM());
      return await remote.renew(identity, csr, new AbortController().signal);
    };
    const renewed = verifyPeerChain(await renew(), {
      roots: [identity.rootCAPEM],
      now: systemClock.now(),
    });
    assert.equal(renewed.nodeID, identity.nodeID);
    backend.blocked.add(identity.nodeID);
    await assert.rejects(renew(), (e) => hasCode(e, "permission_denied") && /was removed/.test(e.message));
  } finally {
    await listener.close();
  }
});

Deno.test("CA over TLS: a node of another cluster with this one's token or certificate gets nowhere", async () => {
  const [here, there] = [await startManager(), await startManager()];
  try {
    const stranger = await there.join(there.backend.current.joinTokens.Manager);
    await assert.rejects(
      here.join(there.backend.current.joinTokens.Worker),
      (e) => hasCode(e, "permission_denied") && /the token is of another cluster/.test(e.message),
    );
    const csr = await createCertificateRequest(await createPrivateKeyPEM());
    const pretender = { ...stranger, rootCAPEM: here.backend.current.rootCertPEM };
    await assert.rejects(
      here.remote.renew(pretender, csr, new AbortController().signal),
      (e) =>
        hasCode(e, "unauthenticated") && /it was not signed by the root CA of this cluster/.test(e.message),
    );
    assert.equal(here.backend.issued.length, 0);
  } finally {
    await here.listener.close();
    await there.listener.close();
  }
});
