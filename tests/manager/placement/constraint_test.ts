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

Deno.test("Constraint: in, like and exists, and their opposites, on every kind of key", () => {
  const labels = { zone: "Attic", empty: "" };
  const met = [
    "node.labels.zone in (cellar, attic)",
    "node.labels.zone like at*C",
    "node.labels.zone like ?????",
    "node.labels.zone exists",
    "node.labels.empty exists",
    "engine.labels.gpu exists",
    "node.platform.arch in (amd64)",
    "node.ip in (192.168.0.0/16, 10.0.0.0/8)",
    "node.hostname like node*",
    "node.fact.dev in (/dev/ttyUSB1, /dev/video0)",
    "node.fact.dev==/dev/ttyusb0",
    "node.fact.dev like /dev/ttyUSB*",
    "node.fact.kernel like 6.1.*",
    "node.fact.model exists",
    "node.fact.arch==aarch64",
    "NODE.FACT.Memory==1024",
  ];
  const node = makeNode("node1", { labels });
  node.Description!.Engine.Labels = { gpu: "yes" };
  node.Description!.Facts = {
    arch: ["arm64"],
    kernel: ["6.1.21-v8+"],
    memory: ["1024"],
    model: ["Raspberry Pi 4 Model B Rev 1.4"],
    dev: ["/dev/ttyUSB0", "/dev/video0"],
  };
  const isMet = (expression: string) => nodeMatches({ Constraints: [expression] }, node);
  for (const expression of met) {
    const opposite = expression.replace("==", "!=").replace(/ (in|like|exists)\b/, " not $1");
    assert.notEqual(opposite, expression);
    assert.deepEqual([isMet(expression), isMet(opposite)], [true, false], expression);
  }
  for (
    const expression of ["node.labels.other exists", "node.fact.gps exists", "node.fact.constructor exists"]
  ) {
    assert.equal(isMet(expression), false, expression);
  }
  for (const expression of ["node.color exists", "node.color not exists", "node.ip in (10.0.0.1, x)"]) {
    assert.equal(isMet(expression), false, `${expression}: no such key, or no address`);
  }
});

Deno.test("Constraint: a node that has not said anything yet has no facts", () => {
  const { Description: _, ...node } = makeNode("a");
  assert.equal(nodeMatches({ Constraints: ["node.fact.dev==/dev/video0"] }, node), false);
  assert.equal(nodeMatches({ Constraints: ["node.fact.dev!=/dev/video0"] }, node), true);
  assert.equal(nodeMatches({ Constraints: ["node.hostname exists"] }, node), false);
});
