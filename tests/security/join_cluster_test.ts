import assert from "node:assert/strict";
import type { IssueNodeCertificateRequest, IssueNodeCertificateResponse } from "../../api/ca.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { systemRandom } from "../../api/random.ts";
import {
  createJoinToken,
  createPrivateKeyPEM,
  joinCluster,
  type JoinOptions,
  MAX_ISSUE_FAILURES,
  publicKeyDigest,
  publicKeyOf,
  readCertificateRequest,
} from "../../security/mod.ts";
import { type FakeClock, settle } from "../support/fake_clock.ts";
import { createTestCluster } from "./fixtures.ts";

const unavailable = () => new CoveyError("unavailable", "Cannot reach manager: connection refused");

/** A joiner whose two calls record everything that leaves the device. */
async function setup() {
  const cluster = await createTestCluster();
  const privateKeyPEM = await createPrivateKeyPEM();
  const token = createJoinToken(cluster.root.certificatePEM, systemRandom);
  const sent: { at: number; request: IssueNodeCertificateRequest; rootCAPEM: string }[] = [];
  const rootCalls: number[] = [];
  const answers: (CoveyError | "pending" | "issued")[] = [];
  const options: JoinOptions = {
    token,
    privateKeyPEM,
    clock: cluster.clock,
    getRootCA: () => {
      rootCalls.push(cluster.clock.now());
      return Promise.resolve(cluster.root.certificatePEM);
    },
    issueNodeCertificate: async (request, rootCAPEM) => {
      sent.push({ at: cluster.clock.now(), request, rootCAPEM });
      const answer = answers.shift() ?? "issued";
      if (answer instanceof CoveyError) throw answer;
      const base = {
        NodeID: "node1",
        Role: "worker",
        ClusterID: cluster.clusterID,
        RootCA: rootCAPEM,
      } as const;
      if (answer === "pending") return { ...base, Status: "pending" };
      const Certificate = await cluster.issue(privateKeyPEM, "node1");
      return { ...base, Status: "issued", Certificate } satisfies IssueNodeCertificateResponse;
    },
  };
  return { cluster, options, sent, rootCalls, answers };
}

/** Runs a join in virtual time and says how it ended. */
async function run(options: JoinOptions, clock: FakeClock) {
  let done = false;
  const ending = joinCluster(options).then((identity) => ({ identity }), (error: unknown) => ({ error }))
    .finally(() => done = true);
  while (!done) {
    if (clock.pending > 0) await clock.advance(1000);
    else await settle(1);
  }
  return await ending as { identity?: Awaited<ReturnType<typeof joinCluster>>; error?: unknown };
}

Deno.test("Join: sends the request with the token to the verified root and returns the identity", async () => {
  const { cluster, options, sent } = await setup();
  const { identity, error } = await run(
    { ...options, availability: "drain" },
    cluster.clock,
  );
  assert.equal(error, undefined);
  assert.deepEqual([identity?.nodeID, identity?.clusterID, identity?.role], [
    "node1",
    "cluster1",
    "swarm-worker",
  ]);
  assert.equal(sent.length, 1);
  const { request, rootCAPEM } = sent[0]!;
  assert.equal(rootCAPEM, cluster.root.certificatePEM);
  assert.deepEqual([request.Token, request.Availability], [options.token, "drain"]);
  const digest = publicKeyDigest(readCertificateRequest(request.CSR));
  assert.equal(digest, publicKeyDigest(publicKeyOf(options.privateKeyPEM)));
});

Deno.test("Join: a wrong root digest ends it at once and the secret never leaves the device", async () => {
  const { cluster, options, sent } = await setup();
  const impostor = await createTestCluster();
  let roots = 0;
  const { error } = await run({
    ...options,
    getRootCA: () => Promise.resolve((roots++, impostor.root.certificatePEM)),
  }, cluster.clock);
  assert.ok(hasCode(error, "permission_denied"), String(error));
  assert.match(error.message, /Cannot trust root CA: its digest is \w{50}, the join token names \w{50}/);
  assert.equal(roots, 1, "asking again cannot make an impostor right");
  assert.deepEqual(sent, []);
});

Deno.test("Join: a root that is no certificate, or a malformed token, sends nothing either", async () => {
  const { cluster, options, sent, rootCalls } = await setup();
  const garbage = await run({ ...options, getRootCA: () => Promise.resolve("garbage") }, cluster.clock);
  assert.ok(hasCode(garbage.error, "invalid_argument"), String(garbage.error));
  const malformed = await run({ ...options, token: "SWMTKN-1-x-y" }, cluster.clock);
  assert.ok(hasCode(malformed.error, "invalid_argument"), String(malformed.error));
  assert.deepEqual([sent, rootCalls], [[], []]);
});

Deno.test("Join: fetches the root 5 times, 2 s apart, then says why it failed", async () => {
  const { cluster, options } = await setup();
  const calls: number[] = [];
  const start = cluster.clock.now();
  const { error } = await run({
    ...options,
    getRootCA: () => {
      calls.push(cluster.clock.now() - start);
      return Promise.reject(unavailable());
    },
  }, cluster.clock);
  assert.deepEqual(calls, [0, 2000, 4000, 6000, 8000]);
  assert.ok(hasCode(error, "unavailable"));
  assert.match(error.message, /^Cannot fetch root CA in 5 attempts: .*connection refused$/);
});

Deno.test("Join: waits while pending with pauses from 1 s to 30 s, always with the same request", async () => {
  const { cluster, options, sent, answers } = await setup();
  answers.push(...Array(7).fill("pending"));
  const { identity } = await run(options, cluster.clock);
  assert.equal(identity?.nodeID, "node1");
  const pauses = sent.slice(1).map((each, i) => each.at - sent[i]!.at);
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(new Set(sent.map((each) => each.request.CSR)).size, 1);
});

Deno.test("Join: a refused token ends it at once; lost managers are asked again, but not for ever", async () => {
  const refused = await setup();
  refused.answers.push(new CoveyError("permission_denied", "Cannot issue node certificate: token not valid"));
  const denied = await run(refused.options, refused.cluster.clock);
  assert.ok(hasCode(denied.error, "permission_denied"));
  assert.equal(refused.sent.length, 1);

  const flaky = await setup();
  flaky.answers.push(unavailable(), unavailable());
  assert.equal((await run(flaky.options, flaky.cluster.clock)).identity?.nodeID, "node1");

  const lost = await setup();
  lost.answers.push(...Array.from({ length: 20 }, unavailable));
  assert.ok(hasCode((await run(lost.options, lost.cluster.clock)).error, "unavailable"));
  assert.equal(lost.sent.length, MAX_ISSUE_FAILURES);
});

Deno.test("Join: a certificate for another key or from another root is not taken", async () => {
  const { cluster, options } = await setup();
  const other = await createTestCluster();
  for (
    const certificate of [
      (await cluster.node("x")).certificatePEM,
      await other.issue(options.privateKeyPEM, "x"),
    ]
  ) {
    const { error } = await run({
      ...options,
      issueNodeCertificate: (_request, RootCA) =>
        Promise.resolve({
          NodeID: "x",
          Role: "worker",
          Status: "issued",
          Certificate: certificate,
          RootCA,
          ClusterID: "c",
        }),
    }, cluster.clock);
    assert.ok(hasCode(error, "data_loss"), String(error));
  }
});

Deno.test("Join: aborting ends the wait and leaves no timer", async () => {
  const { cluster, options, answers } = await setup();
  answers.push(...Array(50).fill("pending"));
  const abort = new AbortController();
  const joining = joinCluster({ ...options, signal: abort.signal });
  const outcome = assert.rejects(joining, /no longer wanted/);
  while (cluster.clock.pending === 0) await settle(1);
  abort.abort(new Error("no longer wanted"));
  await outcome;
  assert.equal(cluster.clock.pending, 0);
});
