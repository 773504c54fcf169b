/** Whether nodes meet placement constraints (SwarmKit `manager/constraint`). */
import { type Constraint, parseConstraint } from "../../api/constraint.ts";
import type { Node } from "../../api/node.ts";
import type { Placement } from "../../api/service.ts";
import { addressTest } from "./address.ts";
import { labelReader } from "./label.ts";
import { sameArchitecture } from "../../api/platform.ts";

/** Whether a node has the value that a constraint names. */
type Test = (node: Node) => boolean;

/** What a node shows under a key other than a label; a node that does not know shows nothing. */
const ATTRIBUTES: ReadonlyMap<string, (node: Node) => string | undefined> = new Map([
  ["node.id", (node) => node.ID],
  ["node.hostname", (node) => node.Description?.Hostname],
  ["node.role", (node) => node.Role],
  ["node.platform.os", (node) => node.Description?.Platform.OS],
]);

/** The test of `key` for `value`; undefined for a key that does not exist, and for a malformed address. */
function testOf({ key, value }: Constraint): Test | undefined {
  switch (key.toLowerCase()) {
    case "node.ip": {
      const isIn = addressTest(value);
      return isIn && ((node) => isIn(node.Status.Addr));
    }
    case "node.platform.arch":
      return (node) => sameArchitecture(node.Description?.Platform.Architecture ?? "", value);
  }
  const read = ATTRIBUTES.get(key.toLowerCase()) ?? labelReader(key);
  const wanted = value.toLowerCase();
  return read && ((node) => (read(node) ?? "").toLowerCase() === wanted);
}

/** A test that `expression` asks of a node. What is malformed, or names no key that there is, is met by no node. */
function compile(expression: string): Test {
  const constraint = parseConstraint(expression);
  const test = typeof constraint === "string" ? undefined : testOf(constraint);
  if (typeof constraint === "string" || test === undefined) return () => false;
  return constraint.negated ? (node) => !test(node) : test;
}

const compiled = new WeakMap<readonly string[], Test[]>();

/** True if `node` meets every constraint of `placement`. A missing label is the empty string. */
export function nodeMatches(placement: Placement | undefined, node: Node): boolean {
  const expressions = placement?.Constraints;
  if (expressions === undefined || expressions.length === 0) return true;
  let tests = compiled.get(expressions);
  if (tests === undefined) compiled.set(expressions, tests = expressions.map(compile));
  return tests.every((test) => test(node));
}
