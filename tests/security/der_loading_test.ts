import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createTestCluster } from "./fixtures.ts";

/** What an agent does with its identity at its start and at each connection, then when it renews. */
const PROGRAM = `
import { createRequire } from "node:module";
import { assembleIdentity, createCertificateRequest, rootTLSInfo, verifyPeerChain } from "./security/mod.ts";
const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((file) => file.includes("node-forge")).length;
const identity = assembleIdentity(JSON.parse(Deno.args[0]));
verifyPeerChain(identity.certificateChainPEM, { roots: [identity.rootCAPEM], now: identity.notBefore });
rootTLSInfo(identity.rootCAPEM);
const idle = loaded();
await createCertificateRequest(identity.privateKeyPEM);
console.log(JSON.stringify({ idle, renewing: loaded() > 0 }));
`;

Deno.test("Security: a node that has its identity loads no ASN.1 module until it asks for a certificate", async () => {
  const { rootCAPEM, certificateChainPEM, privateKeyPEM } = await (await createTestCluster()).node("node1");
  const files = JSON.stringify({ rootCAPEM, certificateChainPEM, privateKeyPEM });
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", PROGRAM, files],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  }).output();
  const decoder = new TextDecoder();
  assert.equal(decoder.decode(stdout).trim(), '{"idle":0,"renewing":true}', decoder.decode(stderr));
});
