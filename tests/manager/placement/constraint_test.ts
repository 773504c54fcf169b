import assert from "node:assert/strict";
import fc from "fast-check";
import { nodeMatches } from "../../../manager/placement/mod.ts";
import { makeNode } from "../orchestrator/harness.ts";

function meets(expression: string, options: Parameters<typeof makeNode>[1] = {}): boolean {
  const node = makeNode("node1", options);
  node.Description!.Engine.Labels = { gpu: "yes" };
  return nodeMatches({ Constraints: [expression] }, node);
}

function meetsAt(Addr: string, expression: string): boolean {
  const node = makeNode("node1");
  return nodeMatches({ Constraints: [expression] }, { ...node, Status: { ...node.Status, Addr } });
}

Deno.test("Constraint: both operators on every key", () => {
  const labels = { zone: "Attic" };
  const equal = [
    "node.id==node1",
    "node.hostname == NODE1",
    "node.role==worker",
    "node.platform.os==Linux",
    "node.platform.arch==amd64",
    "node.platform.arch==x86_64",
    "node.labels.zone==attic",
    "engine.labels.gpu==yes",
    "NODE.ID==node1",
    "node.ip==10.0.0.1",
    "node.ip==10.0.0.0/8",
  ];
  for (const expression of equal) {
    assert.equal(meets(expression, { labels }), true, expression);
    assert.equal(meets(expression.replace("==", "!="), { labels }), false, expression);
  }
});

Deno.test("Constraint: label keys are case-sensitive; a missing label is the empty string", () => {
  assert.equal(meets("node.labels.Zone==attic", { labels: { zone: "attic" } }), false);
  assert.equal(meets("node.labels.zone!=attic"), true);
});

Deno.test("Constraint: an unknown key and a malformed address never match", () => {
  for (
    const expression of ["node.color==red", "node.color!=red", "node.ip==10.0.0", "node.ip==10.0.0.1/33"]
  ) {
    assert.equal(meets(expression), false, expression);
  }
});

Deno.test("Constraint: a malformed constraint is met by no node", () => {
  assert.equal(nodeMatches({ Constraints: ["node.id"] }, makeNode("a")), false);
  assert.equal(nodeMatches({ Constraints: ["node.id!= "] }, makeNode("a")), false);
  assert.equal(nodeMatches(undefined, makeNode("a")), true);
});

Deno.test("Constraint: both names of an architecture, with both operators", () => {
  const arm = { platform: { OS: "linux", Architecture: "aarch64" } };
  for (const name of ["arm64", "aarch64", "ARM64"]) {
    assert.equal(meets(`node.platform.arch==${name}`, arm), true, name);
    assert.equal(meets(`node.platform.arch!=${name}`, arm), false, name);
    assert.equal(meets(`node.platform.arch==${name}`), false, name);
    assert.equal(meets(`node.platform.arch!=${name}`), true, name);
  }
});

Deno.test("Constraint: an IPv4-mapped address is the IPv4 address it stands for, on both sides", () => {
  const at = (address: string, wanted: string) => {
    const [equal, unequal] = ["==", "!="].map((operator) => meetsAt(address, `node.ip${operator}${wanted}`));
    assert.notEqual(equal, unequal, wanted);
    return equal;
  };
  for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "::FFFF:a01:203", "0:0:0:0:0:ffff:a01:203"]) {
    for (const wanted of ["10.1.2.3", "::ffff:10.1.2.3", "10.0.0.0/8", "::ffff:10.0.0.0/104", "0.0.0.0/0"]) {
      assert.equal(at(address, wanted), true, `${address} ${wanted}`);
    }
    for (const wanted of ["10.1.2.4", "11.0.0.0/8", "::/0", "::a01:203"]) {
      assert.equal(at(address, wanted), false, `${address} ${wanted}`);
    }
  }
  assert.equal(at("2001:DB8::1", "2001:db8:0::/48"), true);
  assert.equal(at("", "10.0.0.0/8"), false);
  assert.equal(at("fe80::1%eth0", "fe80::1"), false);
});

Deno.test("Constraint: labels are those that were set, not those that every object has", () => {
  for (const label of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
    for (const kind of ["node", "engine"]) {
      assert.equal(meets(`${kind}.labels.${label}==x`), false);
      assert.equal(meets(`${kind}.labels.${label}!=x`), true);
    }
  }
});

Deno.test("Constraint: == and != of a known key are opposites", () => {
  const value = fc.stringMatching(/^[a-z0-9]{1,3}$/);
  fc.assert(fc.property(value, value, (label, wanted) => {
    const labels = { zone: label };
    assert.notEqual(
      meets(`node.labels.zone==${wanted}`, { labels }),
      meets(`node.labels.zone!=${wanted}`, { labels }),
    );
  }));
});
