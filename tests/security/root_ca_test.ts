import assert from "node:assert/strict";
import { hasCode } from "../../api/errors.ts";
import { systemRandom } from "../../api/random.ts";
import { createPrivateKeyPEM, createRootCA, issueNodeCertificate, publicKeyOf } from "../../security/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { createTestCluster, DAY_MS, openssl } from "./fixtures.ts";

const HOUR_MS = 3_600_000;

function attime(ms: number): string[] {
  return ["-attime", String(Math.floor(ms / 1000))];
}

Deno.test("Root CA: OpenSSL accepts it as a self-signed authority for 20 years", async () => {
  const clock = new FakeClock();
  const root = await createRootCA({ clock, random: systemRandom });
  const files = { "root.pem": root.certificatePEM };
  for (const offset of [0, 20 * 365 * DAY_MS - HOUR_MS]) {
    const args = [
      "verify",
      "-x509_strict",
      "-check_ss_sig",
      ...attime(clock.now() + offset),
      "-CAfile",
      "root.pem",
    ];
    const { ok, output } = await openssl([...args, "root.pem"], files);
    assert.ok(ok, output);
  }
  const { output } = await openssl(["x509", "-in", "root.pem", "-noout", "-text"], files);
  assert.match(output, /Version: 3/);
  assert.match(output, /Subject: CN = swarm-ca/);
  assert.match(output, /Basic Constraints: critical\s+CA:TRUE/);
  assert.match(output, /Key Usage: critical\s+Certificate Sign, CRL Sign/);
  assert.match(output, /NIST CURVE: P-256/);
});

for (const role of ["swarm-manager", "swarm-worker"] as const) {
  Deno.test(`Root CA: OpenSSL accepts a ${role}'s certificate as TLS server and client`, async () => {
    const cluster = await createTestCluster("clusterid");
    const { certificatePEM } = await cluster.node("node1", role);
    const files = { "root.pem": cluster.root.certificatePEM, "node.pem": certificatePEM };
    for (const purpose of ["sslserver", "sslclient"]) {
      const { ok, output } = await openssl([
        ...["verify", "-x509_strict", "-purpose", purpose, ...attime(cluster.clock.now())],
        ...["-CAfile", "root.pem", "node.pem"],
      ], files);
      assert.ok(ok, output);
    }
    const { output } = await openssl(["x509", "-in", "node.pem", "-noout", "-text"], files);
    assert.match(output, new RegExp(`Subject: O = clusterid, OU = ${role}, CN = node1`));
    assert.match(output, /CA:FALSE/);
    assert.match(output, /Not Before: Dec 31 23:00:00 2025 GMT\s+Not After : Apr {2}1 00:00:00 2026 GMT/);
    const names = `DNS:${role}, DNS:node1`;
    assert.match(output, new RegExp(role === "swarm-manager" ? `${names}, DNS:swarm-ca\n` : `${names}\n`));
  });
}

Deno.test("Root CA: OpenSSL accepts the private key, and a certificate dated past 2049", async () => {
  const cluster = await createTestCluster("c", new FakeClock(Date.UTC(2049, 11, 31, 23, 30)));
  const node = await cluster.node("n");
  const key = await openssl(["ec", "-in", "key.pem", "-check", "-noout"], { "key.pem": node.privateKeyPEM });
  assert.ok(key.ok, key.output);
  const { ok, output } = await openssl(
    ["verify", ...attime(cluster.clock.now()), "-CAfile", "root.pem", "node.pem"],
    { "root.pem": cluster.root.certificatePEM, "node.pem": node.certificatePEM },
  );
  assert.ok(ok, output);
  assert.equal(new Date(node.notAfter).getUTCFullYear(), 2050);
});

Deno.test("Root CA: refuses a life under one hour and never outlives itself", async () => {
  const cluster = await createTestCluster();
  await assert.rejects(
    async () => await cluster.node("n", "swarm-worker", HOUR_MS - 1),
    (e) => hasCode(e, "invalid_argument") && /minimum of 3600000 ms/.test(e.message),
  );
  const nearEnd = new FakeClock(cluster.clock.now() + 20 * 365 * DAY_MS - DAY_MS);
  const publicKey = publicKeyOf(await createPrivateKeyPEM());
  const options = { publicKey, nodeID: "n", clusterID: "c", role: "swarm-worker" } as const;
  const context = { clock: nearEnd, random: systemRandom };
  const late = await issueNodeCertificate(cluster.root, options, context);
  const { output } = await openssl(["x509", "-in", "n.pem", "-noout", "-enddate"], { "n.pem": late });
  assert.match(output, /Dec 27 00:00:00 2045 GMT/);
  await nearEnd.advance(DAY_MS);
  await assert.rejects(
    () => issueNodeCertificate(cluster.root, options, context),
    (e) => hasCode(e, "failed_precondition") && /the root CA expired on 2045-12-27/.test(e.message),
  );
});

Deno.test("Root CA: every certificate has its own positive serial number", async () => {
  const cluster = await createTestCluster();
  const serials = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const { certificatePEM } = await cluster.node("n");
    const { output } = await openssl(["x509", "-in", "n.pem", "-noout", "-serial"], {
      "n.pem": certificatePEM,
    });
    assert.match(output, /^serial=[4-7][0-9A-F]{31}\s*$/);
    serials.add(output);
  }
  assert.equal(serials.size, 20);
});
