/** Labels of nodes by the names that constraints and spread preferences call them. */
import type { Node } from "../../api/node.ts";

type Labels = Record<string, string> | undefined;

const KINDS: readonly [prefix: string, labels: (node: Node) => Labels][] = [
  ["node.labels.", (node) => node.Spec.Labels],
  ["engine.labels.", (node) => node.Description?.Engine.Labels],
];

/**
 * What reads the label that `name` says, such as `node.labels.zone`, from a node, which may not have it; undefined if `name`
 * is none of a label. The kind is read without regard to case, the label with regard to it.
 */
export function labelOf(name: string): ((node: Node) => string | undefined) | undefined {
  for (const [prefix, labels] of KINDS) {
    if (name.length <= prefix.length || !name.toLowerCase().startsWith(prefix)) continue;
    const label = name.slice(prefix.length);
    return (node) => {
      const found = labels(node);
      // Only what the user set: every object also has a `constructor`.
      return found !== undefined && Object.hasOwn(found, label) ? found[label] : undefined;
    };
  }
  return undefined;
}

/** The same, with the empty string for a node that has not the label. */
export function labelReader(name: string): ((node: Node) => string) | undefined {
  const read = labelOf(name);
  return read && ((node) => read(node) ?? "");
}
