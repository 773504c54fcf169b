import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError } from "../../../api/errors.ts";
import { meetsConstraints, nodeMatches, parseConstraints } from "../../../manager/placement/mod.ts";
import { makeNode } from "../orchestrator/harness.ts";

function meets(expression: string, options: Parameters<typeof makeNode>[1] = {}): boolean {
  const node = makeNode("node1", options);
  node.Description!.Engine.Labels = { gpu: "yes" };
  return meetsConstraints(parseConstraints([expression]), node);
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

Deno.test("Constraint: the parser names every malformed expression", () => {
  const parse = () => parseConstraints(["node.id==a", "node.id=a", "9==x", "node.id==", "node.id==a b!"]);
  assert.throws(parse, (error) => {
    assert.ok(error instanceof CoveyError);
    assert.equal(error.code, "invalid_argument");
    assert.deepEqual(error.problems.map((problem) => problem.field), [
      "Placement.Constraints[1]",
      "Placement.Constraints[2]",
      "Placement.Constraints[3]",
      "Placement.Constraints[4]",
    ]);
    return true;
  });
});

Deno.test("Constraint: a malformed constraint is met by no node", () => {
  assert.equal(nodeMatches({ Constraints: ["node.id"] }, makeNode("a")), false);
  assert.equal(nodeMatches(undefined, makeNode("a")), true);
});

Deno.test("Constraint: what is printed parses back, spaces aside", () => {
  const key = fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9\-_.]{1,20}$/);
  const value = fc.stringMatching(/^[a-zA-Z0-9:\-_.*()?+[\]\\^$|/]{1,20}$/);
  const space = fc.stringMatching(/^ {0,3}$/);
  fc.assert(fc.property(key, fc.boolean(), value, space, space, (key, negated, value, a, b) => {
    const [parsed] = parseConstraints([`${a}${key}${b}${negated ? "!=" : "=="}${a}${value}${b}`]);
    assert.deepEqual(parsed, { key, negated, value });
  }));
});

Deno.test("Constraint: the parser only throws its own error, whatever it reads", () => {
  fc.assert(fc.property(fc.array(fc.string()), (expressions) => {
    try {
      assert.equal(parseConstraints(expressions).length, expressions.length);
    } catch (error) {
      assert.ok(error instanceof CoveyError);
    }
  }));
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
