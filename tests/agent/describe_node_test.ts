import assert from "node:assert/strict";
import { describeNode } from "../../agent/describe_node.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { parseNodeDescription } from "../../api/validate/mod.ts";
import type { Executor, ExecutorDescription } from "../../executors/executor.ts";
import { FACTS } from "./support/cluster.ts";

const never = new AbortController().signal;

/** An executor of which only the description matters. */
function executor(runtime: string, description: unknown): Executor {
  const unused = () => Promise.reject(new Error("not used"));
  return {
    name: runtime,
    runtime,
    capabilities: [],
    describe: () => Promise.resolve(description as ExecutorDescription),
    controller: unused,
    recover: unused,
    close: () => Promise.resolve(),
  };
}

Deno.test("Node description: an executor that says what no manager takes is missing, with the field; the node is not", async () => {
  const cases: [unknown, RegExp][] = [
    [{ Resources: { GenericResources: [{}] } }, /Resources\.GenericResources\[0\]: must have one of/],
    [{ Resources: { NanoCPUs: 2 ** 63 } }, /Resources\.NanoCPUs: must be/],
    [{ Resources: { MemoryBytes: 10n ** 20n } }, /Resources\.MemoryBytes: cannot be kept exactly/],
    [{ Hostname: "pi\x1b[2J" }, /Hostname: must not hold control or direction characters/],
    [{ Hostname: "gpj\u202eexe" }, /Hostname: must not hold control or direction characters/],
    [{ Hostname: "x".repeat(300) }, /Hostname: has 300 characters/],
    [
      { Engine: { EngineVersion: "1", Labels: JSON.parse('{"__proto__":"x"}') } },
      /Engine\.Labels\.__proto__/,
    ],
    [{ Platform: "linux" }, /Platform: cannot unmarshal string into object/],
    [undefined, /cannot unmarshal undefined into object/],
    [null, /cannot unmarshal null into object/],
  ];
  for (const [description, reason] of cases) {
    const good = executor("good", { Hostname: "pi", Resources: { NanoCPUs: 4e9, MemoryBytes: 1e9 } });
    const node = await describeNode(FACTS, [executor("bad", description), good], never);
    assert.deepEqual(node.Runtimes, ["good"]);
    assert.match(node.MissingRuntimes!.bad!, reason);
    assert.match(node.MissingRuntimes!.bad!, /^Cannot use what the executor says of itself: /);
    assert.equal(node.Hostname, "pi");
    const problems: FieldProblem[] = [];
    parseNodeDescription(node, "Description", problems);
    assert.deepEqual(problems, []);
  }
});

Deno.test("Node description: names the runtimes that can be attached to overlay networks, and why others cannot", async () => {
  const overlay = (runtime: string, checkOverlay: () => Promise<void>) => ({
    ...executor(runtime, {}),
    capabilities: ["overlay" as const],
    checkOverlay,
  });
  const able = overlay("able", () => Promise.resolve());
  const unable = overlay("unable", () => Promise.reject(new CoveyError("unavailable", "no VXLAN here")));
  const broken = { ...overlay("broken", () => Promise.resolve()), describe: () => Promise.reject("down") };
  const like = overlay("like", () => Promise.reject(new CoveyError("unavailable", "no VXLAN here")));
  const facts = { ...FACTS, DataPathAddr: "192.0.2.7" };
  const node = await describeNode(facts, [unable, able, broken, like, executor("plain", {})], never);
  assert.deepEqual(node.OverlayRuntimes, ["able"]);
  assert.equal(node.MissingOverlay, "like, unable: no VXLAN here");
  assert.equal(node.DataPathAddr, "192.0.2.7");
  const problems: FieldProblem[] = [];
  const taken = parseNodeDescription(node, "Description", problems);
  for (const key of ["OverlayRuntimes", "MissingOverlay", "DataPathAddr"] as const) {
    assert.deepEqual(taken[key], node[key], key);
  }
  assert.deepEqual(problems, []);
  const { OverlayRuntimes, MissingOverlay } = await describeNode(FACTS, [executor("plain", {})], never);
  assert.deepEqual([OverlayRuntimes, MissingOverlay], [undefined, undefined]);
});

Deno.test("Node description: has the facts of the node and of its executors", async () => {
  const parts = [
    executor("a", {
      Resources: { NanoCPUs: 4e9, MemoryBytes: 512 * 2 ** 20 },
      Facts: { dev: ["/dev/ttyUSB0"] },
    }),
    executor("b", { Platform: { OS: "linux", Architecture: "aarch64" } }),
  ];
  const { Facts } = await describeNode(FACTS, parts, never);
  assert.deepEqual(Facts, { arch: ["aarch64"], memory: ["512"], dev: ["/dev/ttyUSB0"] });
});
