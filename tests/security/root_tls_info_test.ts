import assert from "node:assert/strict";
import { rootTLSInfo } from "../../security/mod.ts";
import { DER } from "../../security/der.ts";
import { nameOf, ROOT_CA_NAME } from "../../security/x509_names.ts";
import { createTestCluster } from "./fixtures.ts";

Deno.test("Root TLS info: shows the subject and key that stand in the root certificate", async () => {
  const { root } = await createTestCluster();
  const info = rootTLSInfo(root.certificatePEM);
  assert.equal(info.TrustRoot, root.certificatePEM);
  const der = await DER.load();
  assert.equal(info.CertIssuerSubject, der.encode(nameOf(der, { CN: ROOT_CA_NAME })).toBase64());
  const certificate = Uint8Array.fromBase64(root.certificatePEM.replace(/-----[^-]+-----/g, "")).toHex();
  for (const base64 of [info.CertIssuerSubject, info.CertIssuerPublicKey]) {
    assert.ok(certificate.includes(Uint8Array.fromBase64(base64).toHex()));
  }
});
