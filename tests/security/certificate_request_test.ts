import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError, hasCode } from "../../api/errors.ts";
import {
  createCertificateRequest,
  createPrivateKeyPEM,
  MAX_CSR_LENGTH,
  publicKeyOf,
  readCertificateRequest,
} from "../../security/mod.ts";
import { decodeSinglePEM, encodePEM } from "../../security/pem.ts";
import { openssl } from "./fixtures.ts";

Deno.test("Certificate request: OpenSSL verifies ours, and we read our own key back", async () => {
  const key = await createPrivateKeyPEM();
  for (const subject of [{}, { CN: "node", O: "cluster", OU: "swarm-manager" }]) {
    const csr = await createCertificateRequest(key, subject);
    const { ok, output } = await openssl(["req", "-in", "r.csr", "-verify", "-noout"], { "r.csr": csr });
    assert.ok(ok && /OK/.test(output), output);
    assert.deepEqual(readCertificateRequest(csr), publicKeyOf(key));
  }
});

Deno.test("Certificate request: one made by OpenSSL is read, extensions and all", async () => {
  const key = await createPrivateKeyPEM();
  const { ok, output } = await openssl(
    [
      "req",
      "-new",
      "-key",
      "k.pem",
      "-subj",
      "/CN=x/O=y",
      "-addext",
      "subjectAltName=DNS:z",
      "-out",
      "/dev/stdout",
    ],
    { "k.pem": key },
  );
  assert.ok(ok, output);
  assert.deepEqual(readCertificateRequest(output), publicKeyOf(key));
});

Deno.test("Certificate request: RSA, other curves, other hashes and oversized ones are refused by name", async () => {
  const make = async (...args: string[]) => {
    const all = [
      "req",
      "-new",
      "-nodes",
      "-subj",
      "/CN=x",
      "-keyout",
      "k.pem",
      ...args,
      "-out",
      "/dev/stdout",
    ];
    const { ok, output } = await openssl([...all], {});
    assert.ok(ok, output);
    return output.slice(output.indexOf("-----BEGIN"));
  };
  const cases: [string, RegExp][] = [
    [await make("-newkey", "rsa:2048"), /not signed with ECDSA and SHA-256/],
    [await make("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"), /not an uncompressed P-256 key/],
    [await make("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha384"), /not signed with ECDSA/],
    ["x".repeat(MAX_CSR_LENGTH + 1), /8193 characters, at most 8192/],
    ["", /0 CERTIFICATE REQUEST blocks where one belongs/],
    ["-----BEGIN CERTIFICATE REQUEST-----\nMII", /no end line/],
    ["-----BEGIN CERTIFICATE REQUEST-----\n*\n-----END CERTIFICATE REQUEST-----", /not base64/],
  ];
  for (const [csr, message] of cases) {
    assert.throws(
      () => readCertificateRequest(csr),
      (e) => hasCode(e, "invalid_argument") && message.test(e.message),
    );
  }
});

Deno.test("Certificate request: no mutated byte is accepted and none crashes the reader", async () => {
  const csr = await createCertificateRequest(await createPrivateKeyPEM(), { CN: "node" });
  const der = decodeSinglePEM("CERTIFICATE REQUEST", csr);
  const change = fc.tuple(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(der.length), (changes, keep) => {
      const mutated = Uint8Array.from(der);
      for (const [at, by] of changes) mutated[at] = mutated[at]! ^ by;
      for (const bytes of [mutated, mutated.subarray(0, keep)]) {
        if (bytes.length === der.length && bytes.every((byte, at) => byte === der[at])) continue;
        const refused = (e: unknown) => e instanceof CoveyError && e.code === "invalid_argument";
        assert.throws(() => readCertificateRequest(encodePEM("CERTIFICATE REQUEST", bytes)), refused);
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("Certificate request: random bytes and random text are refused, never a crash", () => {
  const refused = (e: unknown) => e instanceof CoveyError && e.code === "invalid_argument";
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
    assert.throws(() => readCertificateRequest(encodePEM("CERTIFICATE REQUEST", bytes)), refused);
  }));
  fc.assert(fc.property(fc.string(), (text) => assert.throws(() => readCertificateRequest(text), refused)));
});
