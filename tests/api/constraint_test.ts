import assert from "node:assert/strict";
import fc from "fast-check";
import { parseConstraint } from "../../api/constraint.ts";
import { CoveyError } from "../../api/errors.ts";
import { parseServiceSpec } from "../../api/validate/mod.ts";
import { nodeMatches } from "../../manager/placement/mod.ts";
import { makeNode } from "../manager/orchestrator/harness.ts";

const MALFORMED: Record<string, string> = {
  "node.id": "constraint expected one operator from ==, !=",
  "node.id=a": "constraint expected one operator from ==, !=",
  "9==x": "key '9' is invalid",
  " ==x": "key '' is invalid",
  "node.id==": "value '' is invalid",
  "node.id==   ": "value '' is invalid",
  "node.id!=\t": "value '' is invalid",
  "node.id==a b!": "value 'a b!' is invalid",
  "node.id==a\u00a0b": "value 'a\u00a0b' is invalid",
  "ab!=b==c": "value 'b==c' is invalid",
  // Extensions have no other words for what is wrong.
  "node.labels.x in": "constraint expected one operator from ==, !=",
  "node.labels.x in a": "constraint expected one operator from ==, !=",
  "node.labels.x in (a": "constraint expected one operator from ==, !=",
  "node.labels.x exists not": "constraint expected one operator from ==, !=",
  "node.labels.x like": "constraint expected one operator from ==, !=",
  "in (a)": "constraint expected one operator from ==, !=",
  "node.labels.x in (a, )": "value '' is invalid",
  "node.labels.x like é*": "value 'é*' is invalid",
  "a/b exists": "key 'a/b' is invalid",
};

Deno.test("Constraint: what is malformed is named, blank values too", () => {
  for (const [expression, message] of Object.entries(MALFORMED)) {
    assert.equal(parseConstraint(expression), message, expression);
  }
});

Deno.test("Constraint: the API refuses exactly what no node could meet for its form", () => {
  const accepted = (expression: string) => {
    try {
      parseServiceSpec({
        Name: "web",
        TaskTemplate: { ContainerSpec: { Image: "x" }, Placement: { Constraints: [expression] } },
      });
      return true;
    } catch (error) {
      assert.ok(error instanceof CoveyError);
      assert.deepEqual(error.problems.map((problem) => problem.field), [
        "TaskTemplate.Placement.Constraints[0]",
      ]);
      return false;
    }
  };
  const check = (expression: string) => {
    const well = typeof parseConstraint(expression) !== "string";
    assert.equal(accepted(expression), well, expression);
    if (!well) assert.equal(nodeMatches({ Constraints: [expression] }, makeNode("a")), false, expression);
  };
  for (const expression of [...Object.keys(MALFORMED), "node.id==a", " node.labels.x !=  b c "]) {
    check(expression);
  }
  const part = fc.stringMatching(/^[a-c.=! \t\u00a0]{0,6}$/);
  fc.assert(fc.property(part, fc.constantFrom("==", "!=", "="), part, (a, op, b) => check(`${a}${op}${b}`)));
});

Deno.test("Constraint: what is printed parses back, spaces aside", () => {
  const key = fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9\-_.]{1,20}$/);
  const value = fc.stringMatching(/^[a-zA-Z0-9:\-_.*()?+[\]\\^$|/]{1,20}$/);
  const space = fc.stringMatching(/^ {0,3}$/);
  fc.assert(fc.property(key, fc.boolean(), value, space, space, (key, negated, value, a, b) => {
    const parsed = parseConstraint(`${a}${key}${b}${negated ? "!=" : "=="}${a}${value}${b}`);
    assert.deepEqual(parsed, { key, operator: "equals", negated, values: [value] });
  }));
});

Deno.test("Constraint: the parser throws nothing, whatever it reads", () => {
  fc.assert(fc.property(fc.string(), (expression) => void parseConstraint(expression)));
});

Deno.test("Constraint: what we add is what Docker refuses, and reads as it is written", () => {
  const read = (expression: string) => parseConstraint(expression);
  const constraint = (operator: string, negated: boolean, ...values: string[]) => ({
    key: "node.labels.x",
    operator,
    negated,
    values,
  });
  assert.deepEqual(read("node.labels.x in (a,b c , 7)"), constraint("in", false, "a", "b c", "7"));
  assert.deepEqual(read(" node.labels.x  NOT IN(a) "), constraint("in", true, "a"));
  assert.deepEqual(read("node.labels.x like a*b?"), constraint("like", false, "a*b?"));
  assert.deepEqual(read("node.labels.x not like in (a)"), constraint("like", true, "in (a)"));
  assert.deepEqual(read("node.labels.x exists"), constraint("exists", false));
  assert.deepEqual(read("node.labels.x not exists"), constraint("exists", true));
  // With one of Docker's operators it is Docker's, whatever else it holds.
  assert.deepEqual(read("node.labels.x==in (a)"), constraint("equals", false, "in (a)"));
  assert.deepEqual(read("node.labels.x!=like a*"), constraint("equals", true, "like a*"));
  assert.equal(read("node.labels.x in (a==b)"), "key 'node.labels.x in (a' is invalid");
  assert.equal(read(`node.id in (${new Array(101).fill("a").join()})`), "more than 100 values");
});
