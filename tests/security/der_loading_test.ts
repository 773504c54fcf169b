import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createTestCluster } from "./fixtures.ts";

/** What an agent does with its identity at its start, at each connection and when it renews; then what a CA does. */
const PROGRAM = `
import { createRequire } from "node:module";
import * as security from "./security/mod.ts";
const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((file) => file.includes("node-forge")).length;
const identity = security.assembleIdentity(JSON.parse(Deno.args[0]));
security.verifyPeerChain(identity.certificateChainPEM, { roots: [identity.rootCAPEM], now: identity.notBefore });
security.rootTLSInfo(identity.rootCAPEM);
const request = await security.createCertificateRequest(identity.privateKeyPEM);
const device = loaded();
await security.readCertificateRequest(request);
console.log(JSON.stringify({ device, issuing: loaded() > 0 }));
`;

Deno.test("Security: a node that has its identity loads no ASN.1 module, even to ask for a certificate", async () => {
  const { rootCAPEM, certificateChainPEM, privateKeyPEM } = await (await createTestCluster()).node("node1");
  const files = JSON.stringify({ rootCAPEM, certificateChainPEM, privateKeyPEM });
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", PROGRAM, files],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  }).output();
  const decoder = new TextDecoder();
  assert.equal(decoder.decode(stdout).trim(), '{"device":0,"issuing":true}', decoder.decode(stderr));
});
