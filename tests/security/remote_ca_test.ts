/** The CA's two calls from a joiner's and a node's side, over real TLS against a real CA and store. */
import assert from "node:assert/strict";
import { CA_METHODS } from "../../api/ca.ts";
import { systemClock } from "../../api/clock.ts";
import { DISPATCHER_METHODS, type SessionMessage } from "../../api/dispatcher.ts";
import { CoveyError, type ErrorCode, hasCode } from "../../api/errors.ts";
import { systemRandom } from "../../api/random.ts";
import {
  createJoinToken,
  IdentityStore,
  type NodeIdentity,
  parseJoinToken,
  publicKeyDigest,
  publicKeyOf,
  readCertificates,
  RemoteCA,
  Renewer,
} from "../../security/mod.ts";
import { createRouter, type Listener, listenTLS } from "../../transport/mod.ts";
import { dialAs, ManagerPort, materialOf } from "../cluster/manager_port.ts";
import { DESCRIPTION } from "../manager/dispatcher/harness.ts";
import { createTestCluster } from "./fixtures.ts";
import { MemoryFileSystem } from "./memory_file_system.ts";

function refused(code: ErrorCode, message: RegExp) {
  return (e: unknown) => {
    assert.ok(hasCode(e, code), String(e));
    assert.match(e.message, message);
    return true;
  };
}

function remoteOf(...addresses: string[]): RemoteCA {
  return new RemoteCA({ addresses: () => addresses, clock: systemClock });
}

/** Answers with the root of `port`, which anybody can fetch, but with `identity`; keeps what it is told. */
async function impostor(port: ManagerPort, identity: NodeIdentity) {
  const stolen: unknown[] = [];
  const router = createRouter();
  router.register(CA_METHODS.getRootCACertificate, {
    kind: "unary",
    access: "anyone",
    handler: () => Promise.resolve({ Certificate: port.cluster.RootCA.CACert }),
  });
  router.register(CA_METHODS.issueNodeCertificate, {
    kind: "unary",
    access: "anyone",
    handler: (request) => {
      stolen.push(request);
      return Promise.reject(new CoveyError("internal", "Cannot issue node certificate: none of yours"));
    },
  });
  const listener = await listenTLS({
    listen: "127.0.0.1:0",
    router,
    clock: systemClock,
    identity: () => materialOf(identity),
    verifyPeer: () => undefined,
  });
  return { listener, stolen, [Symbol.asyncDispose]: () => listener.close() };
}

/** An address where nothing listens. */
async function deadAddress(port: ManagerPort): Promise<string> {
  const identity = () => materialOf(port.own.identity);
  const options = { router: createRouter(), clock: systemClock, identity, verifyPeer: () => undefined };
  const listener: Listener = await listenTLS({ ...options, listen: "127.0.0.1:0" });
  await listener.close();
  return listener.address;
}

Deno.test("Remote CA: the right token makes a node in the store, with the certificate that it was issued", async () => {
  await using port = await ManagerPort.start();
  const identity = await port.join();
  const node = port.store.get("nodes", identity.nodeID);
  assert.deepEqual([node?.Spec.Role, node?.Spec.Availability, node?.Role], ["worker", "active", "worker"]);
  assert.deepEqual([identity.role, identity.clusterID], ["swarm-worker", port.cluster.ID]);
  assert.equal(identity.rootCAPEM, port.cluster.RootCA.CACert);
  assert.equal(node?.Certificate?.PublicKeyDigest, publicKeyDigest(publicKeyOf(identity.privateKeyPEM)));
  assert.equal(node?.Certificate?.ExpiresAt, new Date(identity.notAfter).toISOString());
});

Deno.test("Remote CA: a token whose secret is wrong or rotated makes no node", async () => {
  await using port = await ManagerPort.start();
  const guessed = createJoinToken(port.cluster.RootCA.CACert, systemRandom);
  const nodes = port.store.all("nodes").length;
  await assert.rejects(port.join(guessed), refused("permission_denied", /the join token is not valid/));
  assert.equal(port.store.all("nodes").length, nodes);
});

Deno.test("Remote CA: a token of another cluster is noticed before its secret is sent", async () => {
  await using port = await ManagerPort.start();
  await using other = await ManagerPort.start();
  const sent: unknown[] = [];
  const remote = remoteOf(port.address);
  remote.issueNodeCertificate = (request) => {
    sent.push(request);
    return Promise.reject(new Error("the secret was sent"));
  };
  const token = other.cluster.RootCA.JoinTokens.Worker;
  const { digest } = parseJoinToken(token);
  await assert.rejects(
    port.join(token, remote),
    refused("permission_denied", new RegExp(`Cannot trust root CA: .* the join token names ${digest}`)),
  );
  assert.deepEqual(sent, []);
});

Deno.test("Remote CA: another cluster's manager that passes on our root learns no secret", async () => {
  await using port = await ManagerPort.start();
  await using other = await ManagerPort.start();
  await using fake = await impostor(port, other.own.identity);
  const remote = remoteOf(fake.listener.address);
  const why = refused("unauthenticated", /it was not signed by the root CA of this cluster/);
  await assert.rejects(port.join(undefined, remote), why);
  const identity = await port.join();
  await assert.rejects(remote.renew(identity, "CSR", new AbortController().signal), why);
  assert.deepEqual(fake.stolen, []);
});

Deno.test("Remote CA: a manager of another cluster under the same root is refused at renewal", async () => {
  await using port = await ManagerPort.start();
  const identity = await port.join();
  const { CACert, CAKey } = port.cluster.RootCA;
  const twin = await createTestCluster("twin");
  Object.assign(twin.root, { certificatePEM: CACert, privateKeyPEM: CAKey });
  await twin.clock.advance(systemClock.now() - twin.clock.now());
  await using fake = await impostor(port, await twin.node("manager2", "swarm-manager"));
  await assert.rejects(
    remoteOf(fake.listener.address).renew(identity, "CSR", new AbortController().signal),
    refused("permission_denied", /it belongs to cluster twin, not to/),
  );
  assert.deepEqual(fake.stolen, []);
});

Deno.test("Remote CA: a worker that pretends to be a manager learns no secret", async () => {
  await using port = await ManagerPort.start();
  const worker = await port.join();
  await using fake = await impostor(port, worker);
  const remote = remoteOf(fake.listener.address);
  const why = refused("permission_denied", /as a manager: its certificate says swarm-worker/);
  await assert.rejects(port.join(undefined, remote), why);
  await assert.rejects(remote.renew(worker, "CSR", new AbortController().signal), why);
  assert.deepEqual(fake.stolen, []);
});

Deno.test("Remote CA: dead, foreign and pretending managers do not keep the next address from answering", async () => {
  await using port = await ManagerPort.start();
  await using other = await ManagerPort.start();
  await using fake = await impostor(port, await port.join());
  const dead = await deadAddress(port);
  const joined = await port.join(undefined, remoteOf(dead, port.address));
  assert.ok(port.store.get("nodes", joined.nodeID));
  const afterAll = remoteOf(dead, fake.listener.address, port.address);
  assert.ok(port.store.get("nodes", (await port.join(undefined, afterAll)).nodeID));
  await assert.rejects(
    remoteOf(dead).getRootCA(() => {}),
    refused("unavailable", /Cannot connect to 127\.0\.0\.1/),
  );
  await assert.rejects(remoteOf().getRootCA(() => {}), refused("unavailable", /no address is known/));
  // Another cluster's manager has the address now: it is passed over, with words if nobody else is there.
  assert.ok(
    port.store.get("nodes", (await port.join(undefined, remoteOf(other.address, port.address))).nodeID),
  );
  await assert.rejects(
    port.join(undefined, remoteOf(other.address, other.address)),
    refused(
      "permission_denied",
      /Cannot find a manager that helps at 2 addresses: 127.* the join token names .*; 127/,
    ),
  );
  const there = (check: (root: string) => void) => remoteOf(other.address, dead).getRootCA(check);
  await assert.rejects(
    there(() => {
      throw new CoveyError("permission_denied", "Cannot trust root CA: it is another");
    }),
    (e) => hasCode(e, "unavailable") && e.retryable && /it is another; .*Cannot connect/.test(e.message),
    "the one that is away may be the right one, so that both are asked again",
  );
  assert.deepEqual(fake.stolen, []);
});

Deno.test("Remote CA: a manager's refusal is final, the next one is not asked", async () => {
  await using port = await ManagerPort.start();
  await using next = await impostor(port, port.own.identity);
  const guessed = createJoinToken(port.cluster.RootCA.CACert, systemRandom);
  const remote = remoteOf(port.address, next.listener.address);
  await assert.rejects(port.join(guessed, remote), refused("permission_denied", /is not valid/));
  assert.deepEqual(next.stolen, []);
});

/** Renews `identity` once with the real renewer; resolves to the new one, which is on disk then. */
async function renewOnce(port: ManagerPort, identity: NodeIdentity): Promise<NodeIdentity> {
  const store = new IdentityStore(new MemoryFileSystem(), "/state");
  await store.save(identity);
  const { promise, resolve, reject } = Promise.withResolvers<NodeIdentity>();
  const renewer = new Renewer({
    clock: systemClock,
    random: systemRandom,
    store,
    identity,
    renew: (csr, signal) => port.remote.renew(identity, csr, signal),
    onRenewed: resolve,
    onFailure: reject,
  });
  try {
    renewer.renewNow();
    const renewed = await promise;
    assert.deepEqual(await store.load(), renewed);
    return renewed;
  } finally {
    renewer.stop();
  }
}

Deno.test("Remote CA: an open stream survives the renewal of both ends, and new connections use the new certificates", async () => {
  await using port = await ManagerPort.start();
  const worker = await port.join();
  const live = await dialAs(port.address, worker);
  const session = live.serverStream<SessionMessage>(DISPATCHER_METHODS.session, { Description: DESCRIPTION });
  const messages = session[Symbol.asyncIterator]();
  const first = (await messages.next()).value as SessionMessage;

  const renewedWorker = await renewOnce(port, worker);
  const manager = port.own.identity;
  port.own.identity = await renewOnce(port, manager);
  port.listener.refreshIdentity();
  assert.notEqual(renewedWorker.certificatePEM, worker.certificatePEM);
  assert.notEqual(port.own.identity.certificatePEM, manager.certificatePEM);

  await port.store.update((tx) => {
    const node = tx.get("nodes", worker.nodeID)!;
    tx.update("nodes", { ...node, Spec: { ...node.Spec, Availability: "drain" } });
  });
  let message = first;
  while (message.Node.Spec.Availability !== "drain") {
    message = (await messages.next()).value as SessionMessage;
  }
  assert.equal(message.SessionID, first.SessionID);
  assert.ok(await live.call(DISPATCHER_METHODS.heartbeat, { SessionID: first.SessionID }));

  const anew = await dialAs(port.address, renewedWorker);
  const leafOf = (chain: string | undefined) => readCertificates(chain ?? "")[0]?.pem;
  assert.equal(leafOf(anew.peerChainPEM), port.own.identity.certificatePEM);
  assert.equal(leafOf(live.peerChainPEM), manager.certificatePEM);
  assert.ok(await anew.call(DISPATCHER_METHODS.heartbeat, { SessionID: first.SessionID }));
  const node = port.store.get("nodes", worker.nodeID)!;
  assert.equal(node.Certificate?.PublicKeyDigest, publicKeyDigest(publicKeyOf(renewedWorker.privateKeyPEM)));
});
