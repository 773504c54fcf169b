import assert from "node:assert/strict";
import type { CertificateRole } from "../../api/ca.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import {
  createPrivateKeyPEM,
  createRootCA,
  crossSign,
  IdentityStore,
  issueNodeCertificate,
  type NodeIdentity,
  readCertificateRequest,
  RENEW_PAUSE,
  Renewer,
} from "../../security/mod.ts";
import { systemRandom } from "../../api/random.ts";
import { settle } from "../support/fake_clock.ts";
import { createTestCluster, DAY_MS } from "./fixtures.ts";
import { MemoryFileSystem } from "./memory_file_system.ts";

const HOUR_MS = 3_600_000;

async function setup(options: { float?: number; lifeMs?: number; fails?: number; answerAs?: string } = {}) {
  const cluster = await createTestCluster();
  const { clock, root, clusterID } = cluster;
  const identity = await cluster.node("node1", "swarm-worker", options.lifeMs ?? 90 * DAY_MS);
  const store = new IdentityStore(new MemoryFileSystem(), "/state");
  await store.save(identity);
  const calls: number[] = [];
  const renewed: NodeIdentity[] = [];
  const failures: { error: CoveyError; retryMs: number }[] = [];
  const roles: CertificateRole[] = [];
  const state = { fails: options.fails ?? 0, roles, gate: Promise.resolve() };
  const renewer = new Renewer({
    clock,
    random: { bytes: systemRandom.bytes, float: () => options.float ?? 0 },
    store,
    identity,
    renew: async (csr) => {
      calls.push(clock.now());
      await state.gate;
      if (state.fails-- > 0) {
        throw new CoveyError("unavailable", "Cannot reach manager: none");
      }
      const names = {
        nodeID: options.answerAs ?? "node1",
        clusterID,
        role: state.roles.shift() ?? "swarm-worker",
      } as const;
      const publicKey = await readCertificateRequest(csr);
      return await issueNodeCertificate(root, {
        ...names,
        publicKey,
        expiryMs: options.lifeMs ?? 90 * DAY_MS,
      }, {
        clock,
        random: systemRandom,
      });
    },
    onRenewed: (each) => renewed.push(each),
    onFailure: (error, retryMs) => failures.push({ error, retryMs }),
  });
  /** Advances, then waits for an attempt under way, during which no timer is armed. */
  const advance = async (ms: number) => {
    await clock.advance(ms);
    while (clock.pending === 0) await settle(1);
  };
  return { clock, identity, store, renewer, calls, renewed, failures, state, advance };
}

for (const [float, part] of [[0, 0.5], [0.5, 0.65], [1, 0.8]] as const) {
  Deno.test(`Renewer: with a random ${float} renews at ${part * 100} % of the certificate's life`, async () => {
    const { clock, identity, renewer, calls, renewed, store, advance } = await setup({ float });
    renewer.start();
    const due = identity.notBefore + (identity.notAfter - identity.notBefore) * part;
    assert.equal(Math.round(renewer.dueAt), Math.round(due));
    await clock.advance(due - clock.now() - 1000);
    assert.equal(calls.length, 0);
    await advance(2000);
    assert.equal(calls.length, 1);
    assert.equal(renewed.length, 1);
    assert.deepEqual(renewer.identity, await store.load());
    assert.notEqual(renewer.identity.privateKeyPEM, identity.privateKeyPEM);
    assert.ok(renewer.dueAt > clock.now() + 40 * DAY_MS);
    renewer.stop();
    assert.equal(clock.pending, 0);
  });
}

Deno.test("Renewer: backs off from 5 s to 1 h on failure, then succeeds with the same key", async () => {
  const { renewer, failures, renewed, advance } = await setup({ float: 1, fails: 12 });
  renewer.start();
  renewer.renewNow();
  await advance(0);
  while (renewed.length === 0) await advance(failures.at(-1)!.retryMs);
  assert.deepEqual(failures.slice(0, 4).map((each) => each.retryMs), [5000, 10_000, 20_000, 40_000]);
  assert.equal(failures[0]!.retryMs, RENEW_PAUSE.minMs);
  assert.equal(failures.at(-1)!.retryMs, RENEW_PAUSE.maxMs);
  assert.equal(failures.length, 12);
  renewer.stop();
});

Deno.test("Renewer: keeps a one-hour certificate fresh for a day", async () => {
  const { renewer, renewed, advance, clock } = await setup({ lifeMs: HOUR_MS, float: 0.5 });
  renewer.start();
  for (let i = 0; i < 240; i++) {
    await advance(6 * 60_000);
    assert.ok(renewer.identity.notAfter > clock.now(), `expired after ${i} steps`);
  }
  assert.ok(renewed.length >= 24);
  renewer.stop();
});

Deno.test("Renewer: renewNow fetches a changed role; one asked for during an attempt follows it", async () => {
  const { renewer, renewed, state, calls, advance, clock } = await setup();
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  state.roles.push("swarm-worker", "swarm-manager");
  renewer.start();
  renewer.renewNow();
  await clock.advance(0);
  while (calls.length === 0) await settle(1);
  renewer.renewNow();
  gate.resolve();
  while (renewed.length < 2) await advance(0);
  assert.deepEqual(renewed.map((each) => each.role), ["swarm-worker", "swarm-manager"]);
  assert.equal(calls.length, 2);
  renewer.stop();
});

Deno.test("Renewer: an answer for another node is refused and the old identity kept", async () => {
  const { renewer, failures, renewed, identity, store, advance } = await setup({ answerAs: "node2" });
  renewer.start();
  renewer.renewNow();
  await advance(0);
  assert.equal(renewed.length, 0);
  assert.ok(hasCode(failures[0]!.error, "failed_precondition"));
  assert.match(failures[0]!.error.message, /the answer names node node2 of cluster cluster1, this is node1/);
  assert.deepEqual(await store.load(), identity);
  renewer.stop();
});

Deno.test("Renewer: stop aborts an attempt under way and leaves no timer", async () => {
  const cluster = await createTestCluster();
  const identity = await cluster.node("node1");
  const store = new IdentityStore(new MemoryFileSystem(), "/state");
  let aborted: unknown;
  const asked = Promise.withResolvers<void>();
  const renewer = new Renewer({
    clock: cluster.clock,
    random: systemRandom,
    store,
    identity,
    renew: (_csr, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(aborted = signal.reason));
        asked.resolve();
      }),
    onRenewed: () => assert.fail("renewed after stop"),
    onFailure: () => assert.fail("a stop is no failure"),
  });
  renewer.start();
  renewer.renewNow();
  await cluster.clock.advance(0);
  await asked.promise;
  renewer.stop();
  await settle();
  assert.ok(hasCode(aborted, "canceled"));
  assert.equal(cluster.clock.pending, 0);
});

Deno.test("Renewer: uses the key that is already on disk for a request under way", async () => {
  const { renewer, store, advance, renewed } = await setup();
  const pending = await store.pendingKey();
  assert.notEqual(pending, await createPrivateKeyPEM());
  renewer.renewNow();
  await advance(0);
  assert.equal(renewed[0]?.privateKeyPEM, pending);
  renewer.stop();
});

Deno.test("Renewer: takes the root that issued its certificate for the pinned one, and no other, whoever tells of it", async () => {
  const cluster = await createTestCluster(), { clock, root, clusterID } = cluster;
  const context = { clock, random: systemRandom };
  const [next, stranger] = [await createRootCA(context), await createRootCA(context)];
  const intermediatesPEM = await crossSign(root, next.certificatePEM, context);
  const identity = await cluster.node("node1");
  const store = new IdentityStore(new MemoryFileSystem(), "/state");
  await store.save(identity);
  const renewed: NodeIdentity[] = [];
  const renewer = new Renewer({
    clock,
    random: { bytes: systemRandom.bytes, float: () => 0 },
    store,
    identity,
    renew: async (csr) =>
      await issueNodeCertificate({ ...next, intermediatesPEM }, {
        nodeID: "node1",
        clusterID,
        role: "swarm-worker",
        publicKey: await readCertificateRequest(csr),
      }, context),
    onRenewed: (each) => renewed.push(each),
  });
  renewer.start();
  const tell = async (pem: string) => {
    renewer.trust(pem);
    await settle();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return renewer.identity.rootCAPEM;
  };
  // Its certificate is by the old root: the new one is taken once it has a certificate by that.
  assert.equal(await tell(stranger.certificatePEM), root.certificatePEM);
  assert.equal(await tell(next.certificatePEM), root.certificatePEM);
  renewer.refused();
  await clock.advance(0);
  while (renewed.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  while (renewer.identity.rootCAPEM !== next.certificatePEM) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal((await store.load())!.rootCAPEM, next.certificatePEM);
  // The chain leads to the old root as well; a manager that lags brings it back all the same not.
  assert.equal(await tell(root.certificatePEM), next.certificatePEM);
  assert.equal(await tell("no certificate"), next.certificatePEM);
  renewer.stop();
});
