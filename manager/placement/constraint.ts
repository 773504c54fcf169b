/**
 * Placement constraints: `key==value` and `key!=value`, all of which a node must meet (SwarmKit
 * `manager/constraint`).
 */
import { BlockList, isIP } from "node:net";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import type { Node } from "../../api/node.ts";
import type { Placement } from "../../api/service.ts";
import { sameArchitecture } from "./platform.ts";

/** One parsed constraint. Values compare without regard to case, label keys with regard to it. */
export interface Constraint {
  key: string;
  negated: boolean;
  value: string;
}

const KEY = /^[a-z_][a-z0-9\-_.]+$/i;
const VALUE = /^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i;
const NODE_LABEL = "node.labels.";
const ENGINE_LABEL = "engine.labels.";

function parseOne(expression: string): Constraint | string {
  const at = expression.search(/[=!]=/);
  if (at < 0) return `"${expression}" has neither == nor !=`;
  const key = expression.slice(0, at).trim();
  const value = expression.slice(at + 2).trim();
  if (!KEY.test(key)) return `key "${key}" is invalid`;
  if (!VALUE.test(value)) return `value "${value}" is invalid`;
  return { key, negated: expression[at] === "!", value };
}

/**
 * Parses `expressions`. Throws `invalid_argument` that lists every malformed one as
 * `Placement.Constraints[i]`.
 */
export function parseConstraints(expressions: readonly string[]): Constraint[] {
  const parsed: Constraint[] = [];
  const problems: FieldProblem[] = [];
  expressions.forEach((expression, i) => {
    const result = parseOne(expression);
    if (typeof result === "string") problems.push({ field: `Placement.Constraints[${i}]`, message: result });
    else parsed.push(result);
  });
  if (problems.length > 0) throw CoveyError.invalid("parse constraints", problems);
  return parsed;
}

function addressMatches(address: string, value: string): boolean {
  const [network = "", bits] = value.split("/", 2);
  const family = isIP(network);
  if (family === 0 || isIP(address) !== family) return false;
  const type = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  if (bits === undefined) {
    list.addAddress(network, type);
  } else {
    const prefix = Number(bits);
    if (!/^\d+$/.test(bits) || prefix > (family === 4 ? 32 : 128)) return false;
    list.addSubnet(network, prefix, type);
  }
  return list.check(address, type);
}

/** Whether `node` has `constraint`'s value; undefined for a key that does not exist. */
function hasValue(constraint: Constraint, node: Node): boolean | undefined {
  const wanted = constraint.value.toLowerCase();
  const is = (actual: string | undefined) => (actual ?? "").toLowerCase() === wanted;
  const key = constraint.key.toLowerCase();
  switch (key) {
    case "node.id":
      return is(node.ID);
    case "node.hostname":
      return is(node.Description?.Hostname);
    case "node.ip":
      return addressMatches(node.Status.Addr, constraint.value);
    case "node.role":
      return is(node.Role);
    case "node.platform.os":
      return is(node.Description?.Platform.OS);
    case "node.platform.arch":
      return sameArchitecture(node.Description?.Platform.Architecture ?? "", wanted);
  }
  if (key.startsWith(NODE_LABEL)) return is(node.Spec.Labels[constraint.key.slice(NODE_LABEL.length)]);
  if (key.startsWith(ENGINE_LABEL)) {
    return is(node.Description?.Engine.Labels?.[constraint.key.slice(ENGINE_LABEL.length)]);
  }
  return undefined;
}

/**
 * True if `node` meets every constraint. A missing label is the empty string; an unknown key is never met.
 */
export function meetsConstraints(constraints: readonly Constraint[], node: Node): boolean {
  return constraints.every((constraint) => {
    const has = hasValue(constraint, node);
    return has !== undefined && has !== constraint.negated;
  });
}

const parsedPlacements = new WeakMap<readonly string[], Constraint[] | "malformed">();

/** True if `node` meets the constraints of `placement`; a malformed constraint is met by no node. */
export function nodeMatches(placement: Placement | undefined, node: Node): boolean {
  const expressions = placement?.Constraints;
  if (expressions === undefined || expressions.length === 0) return true;
  let parsed = parsedPlacements.get(expressions);
  if (parsed === undefined) {
    const results = expressions.map(parseOne);
    parsed = results.filter((result) => typeof result !== "string");
    if (parsed.length < results.length) parsed = "malformed";
    parsedPlacements.set(expressions, parsed);
  }
  return parsed !== "malformed" && meetsConstraints(parsed, node);
}
