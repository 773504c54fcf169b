import assert from "node:assert/strict";
import type { FieldProblem } from "../../../api/errors.ts";
import { parseNodeDescription } from "../../../api/validate/mod.ts";

const DESCRIPTION = {
  Hostname: "pi",
  Platform: { OS: "linux", Architecture: "aarch64" },
  Resources: { NanoCPUs: 4e9, MemoryBytes: 1e9 },
  Engine: { EngineVersion: "1", Labels: { a: "b" }, Plugins: [{ Type: "Log", Name: "local" }] },
  Runtimes: ["process"],
  MissingRuntimes: { container: "no engine" },
  TLSInfo: { TrustRoot: "r", CertIssuerSubject: "s", CertIssuerPublicKey: "k" },
};

function parse(value: unknown) {
  const problems: FieldProblem[] = [];
  return { description: parseNodeDescription(value, "Description", problems), problems };
}

Deno.test("Node description: a whole one stays as it is, and unknown fields are dropped", () => {
  const { description, problems } = parse({ ...DESCRIPTION, More: { x: 1 } });
  assert.deepEqual(problems, []);
  assert.deepEqual(description, DESCRIPTION);
});

Deno.test("Node description: what is absent has a value that readers can rely on", () => {
  assert.deepEqual(parse({}), {
    description: {
      Hostname: "",
      Platform: { OS: "", Architecture: "" },
      Resources: {},
      Engine: { EngineVersion: "" },
      Runtimes: [],
    },
    problems: [],
  });
});

Deno.test("Node description: every wrong field is named", () => {
  const { problems } = parse({
    Hostname: 5,
    Resources: { NanoCPUs: -1, MemoryBytes: "x" },
    Engine: { Labels: JSON.parse('{"__proto__":"x"}') },
    Runtimes: [5],
    TLSInfo: [],
  });
  assert.deepEqual(problems.map(({ field }) => field), [
    "Description.Hostname",
    "Description.Resources.NanoCPUs",
    "Description.Resources.MemoryBytes",
    "Description.Engine.Labels.__proto__",
    "Description.Runtimes[0]",
    "Description.TLSInfo",
  ]);
});
