import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { systemRandom } from "../../api/random.ts";
import { checkRootDigest, createJoinTokens, parseJoinToken, roleOfJoinToken } from "../../security/mod.ts";
import { createTestCluster, openssl } from "./fixtures.ts";

Deno.test("Join token: has SwarmKit's shape and names the root's SHA-256, as OpenSSL computes it", async () => {
  const { root } = await createTestCluster();
  const { Worker, Manager } = createJoinTokens(root.certificatePEM, systemRandom);
  assert.match(Worker, /^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  assert.notEqual(Worker, Manager);
  const { output } = await openssl(["x509", "-in", "r.pem", "-noout", "-fingerprint", "-sha256"], {
    "r.pem": root.certificatePEM,
  });
  const sha256 = BigInt("0x" + output.split("=")[1]!.trim().replaceAll(":", ""));
  assert.equal(parseJoinToken(Worker).digest, sha256.toString(36).padStart(50, "0"));
  assert.equal(parseJoinToken(`  ${Worker}\n`).secret, Worker.slice(-25));
});

Deno.test("Join token: each malformed part is named, the secret never shown", () => {
  const digest = "d".repeat(50);
  const secret = "s".repeat(25);
  const cases: [string, RegExp][] = [
    ["", /does not start with SWMTKN-/],
    [`K10-1-${digest}-${secret}`, /does not start with SWMTKN-/],
    [`SWMTKN-2-1-${digest}-${secret}`, /its version is "2", only 1 is supported/],
    ["SWMTKN", /its version is missing/],
    [`SWMTKN-1-${digest}`, /it has 3 parts/],
    [`SWMTKN-1-${digest}-${secret}-x`, /it has 5 parts/],
    [`SWMTKN-1-${digest}x-${secret}`, /its root digest has 51 characters, 50 are needed/],
    [`SWMTKN-1-${digest}-${secret.slice(1)}`, /its secret has 24 characters, 25 are needed/],
    [`SWMTKN-1-${digest}-${secret.slice(1)}S`, /its secret has characters other than 0-9 and a-z/],
    [`SWMTKN-1-${digest.slice(1)}é-${secret}`, /its root digest has characters other/],
  ];
  for (const [token, message] of cases) {
    assert.throws(() => parseJoinToken(token), (e) => {
      assert.ok(hasCode(e, "invalid_argument"), String(e));
      assert.match(e.message, message);
      assert.equal(e.problems[0]?.field, "Token");
      assert.ok(!e.message.includes("sss"));
      return true;
    });
  }
});

Deno.test("Join token: parsing any text gives a token or a typed error", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string().map((s) => `SWMTKN-1-${s}`)), (text) => {
    assert.throws(
      () => parseJoinToken(text),
      (e) => e instanceof CoveyError && e.code === "invalid_argument",
    );
  }));
});

Deno.test("Join token: another cluster's root is refused, showing both digests", async () => {
  const [a, b] = [await createTestCluster(), await createTestCluster()];
  const token = parseJoinToken(createJoinTokens(a.root.certificatePEM, systemRandom).Worker);
  checkRootDigest(token, a.root.certificatePEM);
  assert.throws(
    () => checkRootDigest(token, b.root.certificatePEM),
    (e) => hasCode(e, "permission_denied") && e.message.includes(token.digest),
  );
});

Deno.test("Join token: decides the role; anything else, an unset token included, has none", async () => {
  const { root } = await createTestCluster();
  const current = createJoinTokens(root.certificatePEM, systemRandom);
  assert.equal(roleOfJoinToken(current.Worker, current), "worker");
  assert.equal(roleOfJoinToken(`${current.Manager}\n`, current), "manager");
  assert.equal(
    roleOfJoinToken(createJoinTokens(root.certificatePEM, systemRandom).Worker, current),
    undefined,
  );
  assert.equal(roleOfJoinToken("", { Worker: "", Manager: "" }), undefined);
});
