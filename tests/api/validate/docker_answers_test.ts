/** What the comparison with Docker Swarm found in specs, each once more without an engine. */
import assert from "node:assert/strict";
import { parseClusterSpec, parseServiceSpec } from "../../../api/validate/mod.ts";

const service = (container: object) => ({
  Name: "web",
  TaskTemplate: { ContainerSpec: { Image: "busybox:local", ...container } },
});
const containerOf = (given: object) =>
  parseServiceSpec(service(given)).TaskTemplate.ContainerSpec as unknown as Record<string, unknown>;

Deno.test("Specs: of a ulimit both limits are there, 0 where they were not given", () => {
  assert.deepEqual(containerOf({ Ulimits: [{ Name: "nofile" }, { Name: "nproc", Soft: 5 }] }).Ulimits, [
    { Name: "nofile", Hard: 0, Soft: 0 },
    { Name: "nproc", Hard: 0, Soft: 5 },
  ]);
});

Deno.test("Specs: a credential spec is refused, also an empty one", () => {
  for (const CredentialSpec of [{}, { File: "a" }]) {
    assert.throws(
      () => containerOf({ Privileges: { CredentialSpec } }),
      /credential specs are not supported/,
    );
  }
  assert.deepEqual(containerOf({ Privileges: { CredentialSpec: null } }).Privileges, {});
});

Deno.test("Specs: an SELinux context that was shown with its empty fields is the one that was stored", () => {
  const shown = { Disable: false, User: "", Role: "", Type: "", Level: "" };
  assert.deepEqual(
    containerOf({ Privileges: { SELinuxContext: shown } }).Privileges,
    containerOf({ Privileges: { SELinuxContext: {} } }).Privileges,
  );
  assert.deepEqual(containerOf({ Privileges: { SELinuxContext: { user: "a", Nonsense: 1 } } }).Privileges, {
    SELinuxContext: { User: "a" },
  });
});

Deno.test("Specs: 0 for a certificate's validity is none given", () => {
  assert.deepEqual(parseClusterSpec({ Name: "default", CAConfig: { NodeCertExpiry: 0 } }).CAConfig, {});
  assert.throws(() => parseClusterSpec({ CAConfig: { NodeCertExpiry: 1 } }), /minimum certificate expiry/);
});

Deno.test("Specs: a number of many digits is a number wherever one is wanted, and named as one elsewhere", () => {
  const huge = 18_446_744_073_709_551_616n;
  assert.throws(
    () => parseServiceSpec({ ...service({}), UpdateConfig: { MaxFailureRatio: huge } }),
    /cannot be less than 0 or bigger than 1/,
  );
  assert.throws(() => containerOf({ Hostname: huge }), /cannot unmarshal number into string/);
});
