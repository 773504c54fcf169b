/** Whether nodes meet placement constraints (SwarmKit `manager/constraint`). */
import { type Constraint, parseConstraint } from "../../api/constraint.ts";
import type { Node } from "../../api/node.ts";
import type { Placement } from "../../api/service.ts";
import { addressTest } from "./address.ts";
import { sameArchitecture } from "../../api/platform.ts";
import { globTest } from "./glob.ts";
import { labelOf } from "./label.ts";

/** Whether a node has the value that a constraint names. */
type Test = (node: Node) => boolean;
/** What a node shows under a key: nothing, where it does not know, or has no such label; a fact may have several values. */
type Reader = (node: Node) => readonly string[];

function one(value: string | undefined): readonly string[] {
  return value === undefined ? [] : [value];
}

const FACTS = "node.fact.";

/** What there is of a node under keys other than labels and facts. */
const ATTRIBUTES: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["node.id", (node) => [node.ID]],
  ["node.hostname", (node) => one(node.Description?.Hostname)],
  ["node.role", (node) => [node.Role]],
  ["node.ip", (node) => one(node.Status.Addr || undefined)],
  ["node.platform.os", (node) => one(node.Description?.Platform.OS)],
  ["node.platform.arch", (node) => one(node.Description?.Platform.Architecture)],
]);

function readerOf(key: string): Reader | undefined {
  const attribute = ATTRIBUTES.get(key.toLowerCase());
  if (attribute !== undefined) return attribute;
  if (key.length > FACTS.length && key.toLowerCase().startsWith(FACTS)) {
    const fact = key.slice(FACTS.length).toLowerCase();
    return ({ Description }) => {
      const facts = Description?.Facts;
      return facts !== undefined && Object.hasOwn(facts, fact) ? facts[fact]! : [];
    };
  }
  const label = labelOf(key);
  return label && ((node) => one(label(node)));
}

/** What tells whether something shown under `key` is `wanted`; undefined for an address that is none. */
function equality(key: string, wanted: string): ((value: string) => boolean) | undefined {
  switch (key.toLowerCase()) {
    case "node.ip":
      return addressTest(wanted);
    case "node.platform.arch":
    case "node.fact.arch":
      return (value) => sameArchitecture(value, wanted);
  }
  const folded = wanted.toLowerCase();
  return (value) => value.toLowerCase() === folded;
}

/** The test that a constraint asks for, negation aside; undefined for a key that does not exist, and for a malformed address. */
function testOf({ key, operator, values }: Constraint): Test | undefined {
  const read = readerOf(key);
  if (read === undefined) return undefined;
  if (operator === "exists") return (node) => read(node).length > 0;
  if (operator === "like") {
    const isLike = globTest(values[0]!);
    return (node) => read(node).some(isLike);
  }
  const tests = values.map((value) => equality(key, value));
  if (tests.includes(undefined)) return undefined;
  return (node) => read(node).some((value) => tests.some((test) => test!(value)));
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
  return testsOf(expressions).every((test) => test(node));
}

/** The constraints of `placement` that `node` does not meet. */
export function unmetConstraints(placement: Placement | undefined, node: Node): string[] {
  const expressions = placement?.Constraints ?? [], tests = testsOf(expressions);
  return expressions.filter((_, i) => !tests[i]!(node));
}

function testsOf(expressions: readonly string[]): Test[] {
  let tests = compiled.get(expressions);
  if (tests === undefined) compiled.set(expressions, tests = expressions.map(compile));
  return tests;
}
