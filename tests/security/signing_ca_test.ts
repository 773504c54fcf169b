import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { CoveyError } from "../../api/errors.ts";
import { systemRandom } from "../../api/random.ts";
import {
  createPrivateKeyPEM,
  createRootCA,
  crossSign,
  issueNodeCertificate,
  publicKeyOf,
  readSigningCA,
  rootTLSInfo,
  verifyPeerChain,
} from "../../security/mod.ts";
import { createTestCluster, DAY_MS } from "./fixtures.ts";

/** A little later than the roots that are made meanwhile. */
const NOW = Date.now() + 300_000;
const clock = { now: () => NOW, monotonic: () => 0, setTimer: () => () => {} };
const context = { clock, random: systemRandom };

/** Makes a root as others make theirs. */
async function byOpenSSL(...args: string[]): Promise<{ SigningCACert: string; SigningCAKey: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const command = ["req", "-x509", "-nodes", "-keyout", "key", "-out", "cert", "-days", "3650", ...args];
    const { success, stderr } = await new Deno.Command("openssl", { args: command, cwd: folder }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const [SigningCACert, SigningCAKey] = ["cert", "key"].map((name) =>
      Deno.readTextFileSync(`${folder}/${name}`)
    );
    return { SigningCACert: SigningCACert!, SigningCAKey: SigningCAKey! };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

Deno.test("Signing CA: roots that others made are taken, issue, and are trusted by those who know only the one before", async () => {
  const { root } = await createTestCluster();
  const made = [
    await byOpenSSL("-newkey", "rsa:2048", "-subj", "/"),
    await byOpenSSL(
      "-newkey",
      "rsa:4096",
      "-subj",
      "/C=DE/O=Somebody/CN=their ca",
      "-addext",
      "keyUsage=keyCertSign",
    ),
    await byOpenSSL(...EC, "-subj", "/CN=Größe"),
  ];
  for (const own of made) {
    const next = readSigningCA(own, NOW);
    assert.match(next.privateKeyPEM, /^-----BEGIN PRIVATE KEY-----/);
    const key = publicKeyOf(await createPrivateKeyPEM());
    const options = { publicKey: key, nodeID: "n", clusterID: "c", role: "swarm-worker" } as const;
    // Across, there and back: an old root that is RSA signs the next one as well.
    for (const [from, to] of [[root, next], [next, root]] as const) {
      const intermediatesPEM = await crossSign(from, to.certificatePEM, context);
      const chain = await issueNodeCertificate({ ...to, intermediatesPEM }, options, context);
      for (const roots of [[from.certificatePEM], [to.certificatePEM]]) {
        assert.equal(verifyPeerChain(chain, { roots, now: NOW }).nodeID, "n");
      }
      const stranger = await createRootCA(context);
      assert.throws(
        () => verifyPeerChain(chain, { roots: [stranger.certificatePEM], now: NOW }),
        /was not signed by the root/,
      );
      const direct = await issueNodeCertificate(to, options, context);
      assert.throws(
        () => verifyPeerChain(direct, { roots: [from.certificatePEM], now: NOW }),
        /was not signed by the root/,
      );
    }
    assert.equal(rootTLSInfo(next.certificatePEM).TrustRoot, next.certificatePEM);
  }
});

Deno.test("Signing CA: everything that is wrong is said, with its field, and no key is in the message", async () => {
  const { root, node } = await createTestCluster();
  const other = await createRootCA(context);
  const good = await byOpenSSL(...EC, "-subj", "/CN=x");
  const leaf = await node("n");
  const cases: [object, string, RegExp][] = [
    [
      { SigningCAKey: good.SigningCAKey },
      "Cert",
      /if a signing CA key is provided, the signing CA cert must also be provided/,
    ],
    [{ SigningCACert: good.SigningCACert }, "Key", /at least one valid, reachable external CA/],
    [{ ...good, SigningCACert: "x" }, "Cert", /could not parse the desired CA certificate: it holds no PEM/],
    [{ ...good, SigningCACert: good.SigningCACert.replace("MII", "MIJ") }, "Cert", /could not parse/],
    [
      { ...good, SigningCACert: good.SigningCACert + root.certificatePEM },
      "Cert",
      /cannot contain multiple certificates/,
    ],
    [{ ...good, SigningCACert: leaf.certificatePEM }, "Cert", /no certificate authority's/],
    [{ ...good, SigningCAKey: other.privateKeyPEM }, "Key", /does not match/],
    [{ ...good, SigningCAKey: "x" }, "Key", /could not parse the signing CA key/],
    [await byOpenSSL("-newkey", "rsa:1024", "-subj", "/"), "Cert", /RSA key of 1024 bits, 2048 to 4096/],
    [
      await byOpenSSL("-newkey", "rsa:2048", "-sha512", "-subj", "/"),
      "Cert",
      /not signed with ECDSA, or RSA, and SHA-256/,
    ],
    [
      await byOpenSSL("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-subj", "/"),
      "Cert",
      /not an uncompressed P-256 key/,
    ],
    [await byOpenSSL(...EC, "-subj", "/", "-days", "300"), "Cert", /CA certificate expires too soon/],
    [
      await byOpenSSL(...EC, "-subj", "/", "-addext", "keyUsage=digitalSignature"),
      "Cert",
      /may not sign certificates/,
    ],
    [
      await byOpenSSL(...EC, "-subj", "/", "-addext", "basicConstraints=critical,CA:FALSE"),
      "Cert",
      /could not parse|no certificate authority's/,
    ],
  ];
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "p" },
  });
  cases.push([{ ...good, SigningCAKey: privateKey }, "Key", /must be an unencrypted PEM key/]);
  for (const [given, field, message] of cases) {
    assert.throws(() => readSigningCA(given, NOW), (error: unknown) => {
      assert.ok(error instanceof CoveyError && error.code === "invalid_argument", String(error));
      assert.deepEqual(error.problems.map((problem) => problem.field), [`CAConfig.SigningCA${field}`]);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /PRIVATE|MIG|MII/);
      return true;
    }, message.source);
  }
  assert.throws(() => readSigningCA(good, NOW - 2 * DAY_MS), /is not valid before/);
});
