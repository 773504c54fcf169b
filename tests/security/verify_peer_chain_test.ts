import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError, type ErrorCode, hasCode } from "../../api/errors.ts";
import { systemRandom } from "../../api/random.ts";
import {
  createPrivateKeyPEM,
  issueNodeCertificate,
  MAX_CHAIN_LENGTH,
  publicKeyDigest,
  publicKeyOf,
  readCertificate,
  verifyPeerChain,
} from "../../security/mod.ts";
import { createTestCluster, DAY_MS, openssl } from "./fixtures.ts";

function refused(code: ErrorCode, message: RegExp) {
  return (e: unknown) => {
    assert.ok(hasCode(e, code), String(e));
    assert.match(e.message, message);
    return true;
  };
}

Deno.test("Peer chain: a node's certificate says who it is, from PEM and from DER", async () => {
  const cluster = await createTestCluster("clusterA");
  const node = await cluster.node("node1", "swarm-manager");
  const options = { roots: [cluster.root.certificatePEM], now: cluster.clock.now(), clusterID: "clusterA" };
  const expected = {
    nodeID: "node1",
    clusterID: "clusterA",
    role: "swarm-manager",
    certificatePEM: node.certificatePEM,
    notBefore: cluster.clock.now() - 3_600_000,
    notAfter: cluster.clock.now() + 90 * DAY_MS,
    publicKeyDigest: publicKeyDigest(publicKeyOf(node.privateKeyPEM)),
    expired: false,
    rootPEM: cluster.root.certificatePEM,
  };
  assert.deepEqual(verifyPeerChain(node.certificatePEM, options), expected);
  const withRoot = [
    readCertificate(node.certificatePEM).der,
    readCertificate(cluster.root.certificatePEM).der,
  ];
  assert.deepEqual(verifyPeerChain(withRoot, options), expected);
});

Deno.test("Peer chain: says what is wrong with dates, root, cluster and missing certificates", async () => {
  const cluster = await createTestCluster("clusterA");
  const other = await createTestCluster("clusterB", cluster.clock);
  const { certificatePEM } = await cluster.node("node1");
  const roots = [cluster.root.certificatePEM];
  const now = cluster.clock.now();
  const check = (chain: string, options: object) => () => verifyPeerChain(chain, { roots, now, ...options });

  assert.throws(
    check(certificatePEM, { now: now + 90 * DAY_MS + 1 }),
    refused(
      "unauthenticated",
      /node node1: it expired on 2026-04-01T00:00:00.000Z, the clock says 2026-04-01/,
    ),
  );
  assert.throws(
    check(certificatePEM, { now: 0 }),
    refused("unauthenticated", /it is not valid before 2025-12-31T23:00:00.000Z, the clock says 1970-01-01/),
  );
  const foreign = await other.node("node2");
  assert.throws(
    check(foreign.certificatePEM, {}),
    refused("unauthenticated", /node node2: it was not signed by the root CA/),
  );
  assert.throws(
    check(foreign.certificatePEM, { roots: [...roots, other.root.certificatePEM], clusterID: "clusterA" }),
    refused("permission_denied", /it belongs to cluster clusterB, not to clusterA/),
  );
  assert.throws(check("", {}), refused("unauthenticated", /it sent no certificate/));
  assert.throws(
    check(certificatePEM.repeat(MAX_CHAIN_LENGTH + 1), {}),
    refused("unauthenticated", /it sent 5 certificates, at most 4/),
  );
  assert.throws(check(cluster.root.certificatePEM, {}), refused("unauthenticated", /not a node certificate/));
});

Deno.test("Peer chain: a node certificate cannot sign another one", async () => {
  const cluster = await createTestCluster("clusterA");
  const mallory = await cluster.node("mallory");
  const victimKey = await createPrivateKeyPEM();
  const fakeRoot = { certificatePEM: mallory.certificatePEM, privateKeyPEM: mallory.privateKeyPEM };
  const forged = await issueNodeCertificate(fakeRoot, {
    publicKey: publicKeyOf(victimKey),
    nodeID: "victim",
    clusterID: "clusterA",
    role: "swarm-manager",
  }, { clock: cluster.clock, random: systemRandom });
  const options = { roots: [cluster.root.certificatePEM], now: cluster.clock.now() };
  assert.throws(
    () => verifyPeerChain(forged + mallory.certificatePEM, options),
    refused("unauthenticated", /node victim: it was not signed by the root CA/),
  );
});

Deno.test("Peer chain: a cross-signed new root leads to the old one", async () => {
  const old = await createTestCluster("clusterA");
  const next = await createTestCluster("clusterA", old.clock);
  const extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
  const made = await openssl([
    "req",
    "-new",
    "-key",
    "new.key",
    "-subj",
    "/CN=swarm-ca",
    "-out",
    "/dev/stdout",
  ], {
    "new.key": next.root.privateKeyPEM,
  });
  const cross = await openssl([
    ...["x509", "-req", "-in", "new.csr", "-CA", "old.crt", "-CAkey", "old.key", "-CAcreateserial"],
    ...["-days", "9000", "-extfile", "ext", "-out", "/dev/stdout"],
  ], {
    "new.csr": made.output,
    "old.crt": old.root.certificatePEM,
    "old.key": old.root.privateKeyPEM,
    ext: extensions,
  });
  assert.ok(cross.ok, cross.output);
  const crossPEM = cross.output.slice(cross.output.indexOf("-----BEGIN"));
  const node = await next.node("node1");
  const options = { roots: [old.root.certificatePEM], now: readCertificate(crossPEM).notBefore };
  const allow = { ...options, allowNotYetValid: true, expiredGraceMs: 9e12 };
  assert.throws(
    () => verifyPeerChain(node.certificatePEM, allow),
    refused("unauthenticated", /not signed by/),
  );
  assert.equal(verifyPeerChain(node.certificatePEM + crossPEM, allow).nodeID, "node1");
});

Deno.test("Peer chain: grace lets in what expired within the window, marked as expired", async () => {
  const cluster = await createTestCluster();
  const node = await cluster.node("node1");
  const check = (lateMs: number, expiredGraceMs = 30 * DAY_MS) =>
    verifyPeerChain(node.certificatePEM, {
      roots: [cluster.root.certificatePEM],
      now: node.notAfter + lateMs,
      expiredGraceMs,
    });
  assert.equal(check(30 * DAY_MS).expired, true);
  assert.equal(check(-1).expired, false);
  assert.throws(
    () => check(30 * DAY_MS + 1),
    refused(
      "unauthenticated",
      /it expired on .*and it could be renewed for 30 days; started with --join and a join token/,
    ),
  );
  assert.throws(() => check(1, 0), refused("unauthenticated", /it expired on/));
});

Deno.test("Peer chain: a certificate whose key may not sign handshakes, or that is for one side only, is refused", async () => {
  const cluster = await createTestCluster("clusterA");
  const node = await cluster.node("node1");
  const judge = (chain: string) =>
    verifyPeerChain(chain, { roots: [cluster.root.certificatePEM], now: readCertificate(chain).notBefore });
  const issued = async (extensions: string) => {
    const files = { "node.key": node.privateKeyPEM, "ca.crt": cluster.root.certificatePEM };
    const request = await openssl(
      [
        "req",
        "-new",
        "-key",
        "node.key",
        "-subj",
        "/O=clusterA/OU=swarm-manager/CN=node1",
        "-out",
        "/dev/stdout",
      ],
      files,
    );
    const made = await openssl([
      ...[
        "x509",
        "-req",
        "-in",
        "n.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "ext",
      ],
      ...["-days", "900", "-out", "/dev/stdout"],
    ], { ...files, "n.csr": request.output, "ca.key": cluster.root.privateKeyPEM, ext: extensions });
    const at = made.output.indexOf("-----BEGIN");
    assert.ok(at >= 0, made.output);
    return made.output.slice(at);
  };
  const plain = "basicConstraints=critical,CA:FALSE\n";
  const both = "extendedKeyUsage=serverAuth,clientAuth\n";
  const sign = "keyUsage=critical,digitalSignature\n";
  assert.equal(judge(await issued(plain + both + sign)).nodeID, "node1");
  const wrong: [string, RegExp][] = [
    [plain + sign, /may not be used for server authentication, client authentication/],
    [plain + sign + "extendedKeyUsage=clientAuth\n", /may not be used for server authentication$/],
    [
      plain + sign + "extendedKeyUsage=serverAuth,codeSigning\n",
      /may not be used for client authentication$/,
    ],
    [plain + both, /may not be used for digital signature$/],
    [plain + both + "keyUsage=critical,keyEncipherment\n", /may not be used for digital signature$/],
    ["basicConstraints=critical,CA:TRUE\n" + both + sign, /it is not a node certificate/],
  ];
  for (const [extensions, message] of wrong) {
    const certificate = await issued(extensions);
    assert.throws(() => judge(certificate), refused("unauthenticated", message));
  }
});

Deno.test("Peer chain: a device that starts in 1970 can accept what its pinned root signed", async () => {
  const cluster = await createTestCluster();
  const node = await cluster.node("node1");
  const options = { roots: [cluster.root.certificatePEM], now: 0, allowNotYetValid: true };
  assert.equal(verifyPeerChain(node.certificatePEM, options).notBefore, node.notBefore);
});

Deno.test("Peer chain: no mutated certificate is accepted as somebody else and none crashes", async () => {
  const cluster = await createTestCluster();
  const { der } = readCertificate((await cluster.node("node1")).certificatePEM);
  const options = { roots: [cluster.root.certificatePEM], now: cluster.clock.now() };
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const mutated = Uint8Array.from(der);
      mutated[at] = mutated[at]! ^ by;
      const rejected = (e: unknown) => e instanceof CoveyError && e.code === "unauthenticated";
      assert.throws(() => verifyPeerChain([mutated], options), rejected);
    }),
    { numRuns: 500 },
  );
});

Deno.test("Peer chain: the bytes around the signed part have one spelling", async () => {
  const cluster = await createTestCluster();
  const { der } = readCertificate((await cluster.node("node1")).certificatePEM);
  const options = { roots: [cluster.root.certificatePEM], now: cluster.clock.now() };
  const rejected = (e: unknown) => e instanceof CoveyError && e.code === "unauthenticated";
  const HEADER_BYTES = 4;
  const tail = HEADER_BYTES + HEADER_BYTES + (der[6]! * 256 + der[7]!);
  const SIGNATURE_AT = tail + 12 + 3;
  const unsigned = [
    ...Array(2 * HEADER_BYTES).keys(),
    ...Array(SIGNATURE_AT - tail).keys().map((at) => tail + at),
  ];
  for (const at of unsigned) {
    for (let by = 1; by < 256; by++) {
      const mutated = Uint8Array.from(der);
      mutated[at] = mutated[at]! ^ by;
      assert.throws(() => verifyPeerChain([mutated], options), rejected);
    }
  }
  const body = der.subarray(HEADER_BYTES);
  const longer = [0x30, 0x83, 0, body.length >> 8, body.length & 0xff, ...body];
  const indefinite = [0x30, 0x80, ...body, 0, 0];
  const longerBits = [...der.subarray(0, tail + 12), 0x03, 0x81, ...der.subarray(tail + 13)];
  longerBits[3] = longerBits[3]! + 1;
  for (const spelling of [longer, indefinite, longerBits, [...der, 0], [...der, 0x05, 0x00], [0, ...der]]) {
    assert.throws(() => verifyPeerChain([Uint8Array.from(spelling)], options), rejected);
  }
});
